// Package options reads a program's options from the command line, the environment and a
// YAML file, in that order of precedence. An option is a field of a struct with kong's tags;
// every --some-option is TICKCAST_SOME_OPTION in the environment and some-option in the file.
package options

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
	"github.com/dustin/go-humanize"
	"go.yaml.in/yaml/v3"
)

// ExitUsage is the exit status after a wrong option or value.
const ExitUsage = 2

// Bytes is a size given as "1MiB", "64kB" or a number of bytes.
type Bytes int64

// UnmarshalText reads the option's value.
func (b *Bytes) UnmarshalText(text []byte) error {
	n, err := humanize.ParseBytes(string(text))
	if err != nil || n > 1<<62 {
		return fmt.Errorf("%q is no size like 1MiB", text)
	}
	*b = Bytes(n)
	return nil
}

// Dashed makes options of the names that each of the joined errors begins with, as packages
// report them which know nothing of a command line.
func Dashed(err error) error {
	joined, ok := err.(interface{ Unwrap() []error })
	switch {
	case err == nil:
		return nil
	case !ok:
		return fmt.Errorf("--%w", err)
	}
	var all []error
	for _, e := range joined.Unwrap() {
		all = append(all, Dashed(e))
	}
	return errors.Join(all...)
}

// CheckAddress refuses what nobody can listen on, but knows nothing of names.
func CheckAddress(option, address string) error {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("--%s %q is no host:port", option, address)
	}
	if _, err := net.LookupPort("tcp", port); err != nil {
		return fmt.Errorf("--%s %q has no port from 0 to 65535", option, address)
	}
	return nil
}

// A File is embedded in a program's options and names the YAML file.
type File struct {
	Config string `help:"YAML file with options, each as \"option: value\"." placeholder:"FILE"`

	given map[string]bool
}

// Given says whether the option was set for this program: on the command line, or in the file.
// The environment does not count, since programs share it.
func (f *File) Given(option string) bool { return f.given[option] }

// BeforeApply is called by kong, when it has every value and has checked none.
func (f *File) BeforeApply(c *kong.Context) error {
	f.given = make(map[string]bool)
	for _, p := range c.Path {
		if p.Flag != nil {
			f.given[p.Flag.Name] = true
		}
	}
	return nil
}

func (f *File) path() string { return f.Config }

// Options is a pointer to a struct that embeds File. Validate is called when all is read.
type Options interface {
	path() string
	Validate() error
}

// ErrHelp reports that the help was asked for and printed.
var ErrHelp = errors.New("help printed")

// Read fills opts from args, the environment and the file that --config names. A returned
// error is one line that names what is wrong. --help prints to help and returns ErrHelp.
func Read(name, about string, opts Options, args []string, help io.Writer) error {
	asked := false
	parse := func(file kong.Resolver) error {
		with := []kong.Option{
			kong.Name(name), kong.Description(about), kong.Writers(help, help),
			kong.DefaultEnvars("TICKCAST"),
			kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}),
			kong.Exit(func(int) { asked = true }),
		}
		if file != nil {
			with = append(with, kong.Resolvers(file))
		}
		k, err := kong.New(opts, with...)
		if err != nil {
			return err
		}
		_, err = k.Parse(args)
		return err
	}
	err := parse(nil)
	if asked {
		return ErrHelp
	}
	if err != nil && opts.path() == "" {
		return oneLine(err)
	}
	if opts.path() != "" {
		file, err := readFile(opts.path())
		if err != nil {
			return oneLine(fmt.Errorf("--config: %w", err))
		}
		if err := parse(file); err != nil {
			return oneLine(err)
		}
	}
	return oneLine(opts.Validate())
}

// oneLine joins what Validate reports into a line.
func oneLine(err error) error {
	if err == nil {
		return nil
	}
	return errors.New(strings.ReplaceAll(err.Error(), "\n", "; "))
}

// A file resolves options from YAML. Kong would prefer it to the environment: it steps back
// for what is set there.
type file struct {
	name   string
	values map[string]any
}

func readFile(name string) (*file, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	f := &file{name: name}
	if err := yaml.Unmarshal(text, &f.values); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return f, nil
}

// Validate refuses names that are no option.
func (f *file) Validate(app *kong.Application) error {
	for key, value := range f.values {
		known := slices.ContainsFunc(app.Flags, func(flag *kong.Flag) bool { return flag.Name == key })
		if !known || key == "config" || key == "help" {
			return fmt.Errorf("%s: unknown option %q", f.name, key)
		}
		if _, nested := value.(map[string]any); nested {
			return fmt.Errorf("%s: option %q wants one value", f.name, key)
		}
	}
	return nil
}

// Resolve returns the file's value for a flag, nil if it has none.
func (f *file) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	value, ok := f.values[flag.Name]
	if !ok || value == nil {
		return nil, nil
	}
	for _, env := range flag.Envs {
		if _, set := os.LookupEnv(env); set {
			return nil, nil
		}
	}
	if list, ok := value.([]any); ok {
		parts := make([]string, len(list))
		for i, v := range list {
			parts[i] = fmt.Sprint(v)
		}
		return strings.Join(parts, ","), nil
	}
	return fmt.Sprint(value), nil
}
