// Package handover is how a gateway gets listening sockets instead of opening
// them, and how it leaves its own to a newer one.
//
// Both are one mechanism. Sockets come as file descriptors from 3 on, told of in
// LISTEN_FDS and LISTEN_FDNAMES, as sd_listen_fds(3) has it. systemd gives them
// when it starts a service that has .socket units, and a gateway gives them to
// the program that is to replace it. A replacement also gets, in
// GATEHOUSE_HANDOVER, a connection to the gateway before it (see link.go).
//
// It is the sockets themselves that are passed, not their address: the queue of
// connections that the kernel has taken and no process has accepted belongs to
// the socket, so none is lost when a process closes its descriptor of it. With
// SO_REUSEPORT each process has a queue of its own, and what waits in the queue
// of the one that ends is reset, unless net.ipv4.tcp_migrate_req is set (Linux
// 5.14, Documentation/networking/ip-sysctl.rst); it is off by default.
package handover

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
)

// The environment. The first three are those of sd_listen_fds(3).
const (
	envPID   = "LISTEN_PID"
	envFDs   = "LISTEN_FDS"
	envNames = "LISTEN_FDNAMES"
	// envLink is DEVICE:INODE:FD, the connection to the gateway to replace. It stands
	// for LISTEN_PID, for a process cannot know the number of the one that it is
	// about to start. Whoever has that very socket at that descriptor is meant, also
	// if the gateway that gave it has ended meanwhile.
	envLink = "GATEHOUSE_HANDOVER"
)

// firstFD is the first file descriptor that is passed (SD_LISTEN_FDS_START).
const firstFD = 3

// names are the listeners there are, for FileDescriptorName= of .socket units.
var names = []string{"http", "grpc", "admin"}

// Names lists the names of sockets that mean something.
func Names() []string { return slices.Clone(names) }

// Inheritance is what a process was started with; nil is nothing. It is not
// safe for concurrent use.
type Inheritance struct {
	sockets []*socket
	taken   []string // the names of those in use
	link    *link    // to the gateway before, nil where systemd or nobody gave
	handed  bool     // by a gateway
	told    bool     // the gateway before has its answer
}

// socket is one that was passed and is not in use yet.
type socket struct {
	name string
	net.Listener
}

// Take is the socket that was passed for the named listener, which is to be at
// address, or nil if there is none. The caller closes it.
//
// Without a name that means something a socket is found by its address. A
// socket of another address than the configuration's is an error if systemd
// passed it, since two say different things. If a gateway passed it the
// configuration has changed since, and so does the address.
func (i *Inheritance) Take(name, address string) (net.Listener, error) {
	if i == nil {
		return nil, nil
	}
	for at, s := range i.sockets {
		same := matches(s.Addr(), address)
		switch {
		case s.name == name && !same && i.handed:
			continue // closed by Rest
		case s.name == name && !same:
			return nil, fmt.Errorf("%s listener: systemd passed a socket on %s, but the configuration says %s: make ListenStream= and listeners.%s.address the same",
				name, s.Addr(), address, name)
		case same && (s.name == name || !known(s.name)):
			i.sockets = slices.Delete(i.sockets, at, at+1)
			i.taken = append(i.taken, name)
			return s.Listener, nil
		}
	}
	return nil, nil
}

// Rest closes what nobody has taken. Sockets of systemd must all be taken: what
// connects to one that is not would wait for ever.
func (i *Inheritance) Rest() error {
	if i == nil {
		return nil
	}
	var errs []error
	for _, s := range i.sockets {
		_ = s.Close()
		if !i.handed {
			errs = append(errs, fmt.Errorf("systemd passed a socket named %q on %s, which is no listener of the configuration: FileDescriptorName= must be one of %s, or the address that of a listener",
				s.name, s.Addr(), strings.Join(names, ", ")))
		}
	}
	i.sockets = nil
	return errors.Join(errs...)
}

// Handed reports whether a gateway is to be replaced.
func (i *Inheritance) Handed() bool { return i != nil && i.handed }

func known(name string) bool { return slices.Contains(names, name) }

// matches reports whether a socket at got is what listening on want opens. Port
// 0 is any. All wildcards are one: Go listens on both families for each.
func matches(got net.Addr, want string) bool {
	at, ok := got.(*net.TCPAddr)
	if !ok {
		return false
	}
	wanted, err := net.ResolveTCPAddr("tcp", want)
	if err != nil || wanted.Port != 0 && wanted.Port != at.Port {
		return false
	}
	if len(wanted.IP) == 0 || wanted.IP.IsUnspecified() {
		return at.IP.IsUnspecified()
	}
	return wanted.IP.Equal(at.IP)
}

// Inherit takes what the environment of the process tells of, and removes it
// from there, so that no other child of the process takes it for its own. It is
// nil if there is nothing.
func Inherit() (*Inheritance, error) {
	defer func() {
		for _, name := range []string{envPID, envFDs, envNames, envLink} {
			_ = os.Unsetenv(name)
		}
	}()
	return inherit(os.Getenv)
}
