package auth

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/crypto/bcrypt"

	policyv1 "github.com/gatehouse-dev/gatehouse/gen/gatehouse/policy/v1"
	"github.com/gatehouse-dev/gatehouse/interceptors"
	"github.com/gatehouse-dev/gatehouse/internal/call"
)

const (
	// maxPassword is what bcrypt looks at; it knows nothing of what follows.
	maxPassword = 72
	maxUserName = 256
	// keptLogins bounds how many passwords are remembered as right.
	keptLogins = 4096
	// maxWaiting is how many calls may wait for a password to be checked, and
	// waitForBcrypt how long.
	maxWaiting    = 64
	waitForBcrypt = 5 * time.Second

	loginWrong = "the name or the password is wrong"
)

// errBusy says that too many passwords are being checked.
var errBusy = errors.New("too many passwords are being checked")

// basicUsers knows callers by a name and a password.
type basicUsers struct {
	name  string
	realm string
	file  *watched[userList]
	pepper
	turn    chan struct{} // one for each bcrypt that runs
	waiting atomic.Int32
}

// pepper keys what is remembered of passwords; it is of this process only.
type pepper [sha256.Size]byte

func newBasic(name string, c *policyv1.Basic, o *Options) (*basicUsers, error) {
	b := &basicUsers{name: name, realm: c.GetRealm(), turn: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2))}
	if !call.Printable(b.realm) {
		return nil, interceptors.Wrong("realm", "want printable ASCII")
	}
	_, _ = rand.Read(b.pepper[:]) // never fails
	var err error
	b.file, err = watch(c.GetFile(), o.Log, func(data []byte, _ *userList) (*userList, error) { return parseUsers(data, name) })
	if err != nil {
		return nil, interceptors.Wrong("file", "%w", err)
	}
	return b, nil
}

func (b *basicUsers) close() { b.file.close() }

// know returns who the user is. A name that is unknown takes as long as a wrong
// password.
func (b *basicUsers) know(ctx context.Context, credentials string) (*call.Caller, error) {
	name, password, err := parseBasic(credentials)
	if err != nil {
		return nil, wrongCredential(loginWrong, err)
	}
	users := b.file.get()
	u, ok := users.byName[name]
	if !ok {
		u = &user{hash: users.dummy}
	}
	sum := b.sum(name, password)
	if known, ok := users.logins.GetIfPresent(sum); ok {
		return known.caller, nil
	}
	if err := b.compare(ctx, u.hash, password); err != nil {
		if errors.Is(err, errBusy) || ctx.Err() != nil {
			return nil, err
		}
		return nil, wrongCredential(loginWrong, err)
	}
	if !ok {
		return nil, wrongCredential(loginWrong, errors.New("there is no such user"))
	}
	users.logins.Set(sum, u)
	return u.caller, nil
}

// compare runs bcrypt when it is its turn. What waits is bounded, so that a flood
// of wrong passwords costs no more than the processors it is given.
func (b *basicUsers) compare(ctx context.Context, hash []byte, password string) error {
	if b.waiting.Add(1) > maxWaiting {
		b.waiting.Add(-1)
		return errBusy
	}
	defer b.waiting.Add(-1)
	late := time.NewTimer(waitForBcrypt)
	defer late.Stop()
	select {
	case b.turn <- struct{}{}:
		defer func() { <-b.turn }()
		return bcrypt.CompareHashAndPassword(hash, []byte(password))
	case <-late.C:
		return errBusy
	case <-ctx.Done():
		return ctx.Err()
	}
}

// sum stands for a name and a password in memory. The name's length keeps the two
// apart.
func (p *pepper) sum(name, password string) (sum [sha256.Size]byte) {
	h := hmac.New(sha256.New, p[:])
	h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(name))))
	h.Write([]byte(name))
	h.Write([]byte(password))
	h.Sum(sum[:0])
	return sum
}

// parseBasic reads credentials (RFC 7617, section 2).
func parseBasic(credentials string) (name, password string, err error) {
	if strings.ContainsAny(credentials, "\r\n") {
		return "", "", errors.New("it is not base64")
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(credentials)
	if err != nil || !utf8.Valid(raw) {
		return "", "", errors.New("it is not base64 of UTF-8")
	}
	name, password, ok := strings.Cut(string(raw), ":")
	switch {
	case !ok:
		return "", "", errors.New("it has no colon")
	case len(name) > maxUserName || len(password) > maxPassword:
		return "", "", fmt.Errorf("the name is longer than %d bytes or the password than %d", maxUserName, maxPassword)
	case strings.ContainsFunc(string(raw), unicode.IsControl):
		return "", "", errors.New("it has control characters")
	}
	return name, password, nil
}
