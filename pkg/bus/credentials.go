package bus

import (
	"fmt"
	"os"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
)

// credentials returns what makes a connection known to a server by file: a user's JWT with its
// seed, or a seed alone, whose public key the server's own configuration holds. Both are read
// again for each connection, but the public key of a seed alone is the one of now. Errors hold
// nothing of the file.
func credentials(file string) (nats.Option, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pair, err := nkeys.ParseDecoratedUserNKey(text)
	if err != nil {
		return nil, fmt.Errorf("%s holds no user's nkey seed", file)
	}
	pair.Wipe()
	if token, err := nkeys.ParseDecoratedJWT(text); err == nil && strings.HasPrefix(token, "eyJ") {
		return nats.UserCredentials(file), nil
	}
	return nats.NkeyOptionFromSeed(file)
}
