package auth

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"

	"github.com/maypok86/otter/v2"
	"golang.org/x/crypto/bcrypt"

	"github.com/gatehouse-dev/gatehouse/internal/call"
)

const (
	// maxCost is the highest cost of bcrypt that is taken: about four seconds.
	maxCost = 16
	// bcryptLength is how long a hash of bcrypt is.
	bcryptLength = 60
)

// userList is a file of users. It is immutable but for logins.
type userList struct {
	byName map[string]*user
	dummy  []byte // a hash for those who are not there, as costly as any other
	logins *otter.Cache[[sha256.Size]byte, *user]
}

type user struct {
	hash   []byte
	caller *call.Caller
}

// parseUsers reads a file in the form of htpasswd: a line for each user with a
// name, a colon and a hash of bcrypt. A third field, which httpd ignores, has the
// user's scopes. Empty lines and those that begin with # are skipped.
func parseUsers(data []byte, authenticator string) (*userList, error) {
	list := &userList{byName: map[string]*user{}, logins: newCache[[sha256.Size]byte](keptLogins, one[*user])}
	cost, n := bcrypt.DefaultCost, 0
	for line := range strings.Lines(string(data)) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		name, rest, _ := strings.Cut(line, ":")
		hash, scopes, _ := strings.Cut(rest, ":")
		c, err := costOf(hash)
		switch {
		case err != nil:
		case name == "" || len(name) > maxUserName:
			err = fmt.Errorf("want a name of 1 to %d bytes before the colon", maxUserName)
		case list.byName[name] != nil:
			err = fmt.Errorf("the user %q is there twice", name)
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		if len(list.byName) == 0 || c > cost {
			cost = c
		}
		list.byName[name] = &user{hash: []byte(hash), caller: &call.Caller{
			ID: name, Authenticator: authenticator, Claims: map[string]any{"sub": name}, Scopes: strings.Fields(scopes), ByAuthorization: true,
		}}
	}
	list.dummy = dummyHash(cost)
	return list, nil
}

// costOf checks a hash.
func costOf(hash string) (int, error) {
	known := strings.HasPrefix(hash, "$2a$") || strings.HasPrefix(hash, "$2b$") || strings.HasPrefix(hash, "$2y$")
	if !known || len(hash) != bcryptLength {
		return 0, errors.New("the password is not hashed with bcrypt: use `htpasswd -B`")
	}
	cost, err := bcrypt.Cost([]byte(hash))
	if err != nil {
		return 0, fmt.Errorf("the password's hash is not right: %w", err)
	}
	if cost > maxCost {
		return 0, fmt.Errorf("the password's hash has the cost %d: at most %d is taken", cost, maxCost)
	}
	return cost, nil
}

// dummyHash is one of a password that nobody has.
func dummyHash(cost int) []byte {
	head := fmt.Sprintf("$2a$%02d$", cost)
	return []byte(head + strings.Repeat(".", bcryptLength-len(head)))
}
