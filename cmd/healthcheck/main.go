// Healthcheck asks for a page and exits with 0 if that is well, for container engines that
// can only run a program inside an image in which there is no other.
package main

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"time"
)

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	if len(args) != 1 || !isPage(args[0]) {
		fmt.Fprintln(os.Stderr, "usage: healthcheck URL, such as http://127.0.0.1:9090/readyz")
		return 2
	}
	if err := check(args[0]); err != nil {
		fmt.Fprintln(os.Stderr, "healthcheck:", err)
		return 1
	}
	return 0
}

func isPage(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Host != "" && (u.Scheme == "http" || u.Scheme == "https")
}

func check(page string) error {
	client := http.Client{Timeout: 2 * time.Second}
	answer, err := client.Get(page)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", page, answer.Status)
	}
	return nil
}
