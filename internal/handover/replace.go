package handover

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Program is how this process was started, and how the next one will be.
type Program struct {
	Path string // of the file, which may be another by then
	Args []string
	Env  []string
	// Patience is how long a new gateway may take to be ready; 0 is Patience.
	Patience time.Duration
}

// Patience is how long a new gateway may take to be ready.
const Patience = 30 * time.Second

// grace is how long one that is not wanted may take to end by itself.
const grace = 5 * time.Second

// Self is the running program. Call it when the process starts, before its file
// is replaced. The path is kept as it was called, for a name that is a link may
// point to a newer file later, and /proc/self/exe only to the old one.
func Self() (Program, error) {
	running, err := os.Executable()
	if err != nil {
		return Program{}, fmt.Errorf("the program's own file: %w", err)
	}
	p := Program{Path: running, Args: os.Args[1:], Env: os.Environ()}
	if called := calledAs(os.Args[0]); sameFile(called, running) {
		p.Path = called
	}
	return p, nil
}

// calledAs is the whole path of a command, "" if there is none.
func calledAs(name string) string {
	found, err := exec.LookPath(name)
	if err != nil {
		return ""
	}
	path, err := filepath.Abs(found)
	if err != nil {
		return ""
	}
	return path
}

// sameFile guards against an argv[0] that lies.
func sameFile(a, b string) bool {
	x, err1 := os.Stat(a) //nolint:gosec // nothing is done with it but to compare
	y, err2 := os.Stat(b)
	return err1 == nil && err2 == nil && os.SameFile(x, y)
}

// Socket is a listening socket under the name of its listener.
type Socket struct {
	Name string
	File *os.File
}

// Successor is the process that has taken over. Should it end without having been
// asked to, this process may serve again with its sockets.
type Successor struct {
	PID int
	// Ended gives how it ended, should it do so before this process does; nil if it
	// was asked to, by SIGTERM or SIGINT, or was replaced itself.
	Ended <-chan error
	// Sockets are copies of those that it has taken. They keep what connects from
	// being lost.
	Sockets *Kept
}

// Kept are sockets that another process serves as well. It is not safe for concurrent
// use.
type Kept struct{ sockets []Socket }

// keep copies the sockets that are named.
func keep(sockets []Socket, names []string) (*Kept, error) {
	k := new(Kept)
	for _, s := range sockets {
		if !slices.Contains(names, s.Name) {
			continue
		}
		f, err := duplicate(s.File)
		if err != nil {
			k.Close()
			return nil, fmt.Errorf("%s listener: %w", s.Name, err)
		}
		k.sockets = append(k.sockets, Socket{s.Name, f})
	}
	return k, nil
}

// Take gives the named listener's socket, nil if it was not kept. The caller
// closes it.
func (k *Kept) Take(name, _ string) (net.Listener, error) {
	for _, s := range k.sockets {
		if s.Name != name {
			continue
		}
		l, err := net.FileListener(s.File) // of a copy
		if err != nil {
			return nil, fmt.Errorf("%s listener: %w", name, err)
		}
		return l, nil
	}
	return nil, nil
}

// Rest closes the sockets: what was taken is a copy.
func (k *Kept) Rest() error {
	k.Close()
	return nil
}

// Close closes the sockets.
func (k *Kept) Close() {
	for _, s := range k.sockets {
		_ = s.File.Close() // others have it open
	}
	k.sockets = nil
}

// Replace starts the program with the sockets and waits until it says that it
// can serve. If it does not, it is made to end, and the error says why. When
// Replace returns without an error, the caller must accept no more.
//
// The files of the sockets stay the caller's. ctx ends the attempt.
func (p *Program) Replace(ctx context.Context, sockets []Socket) (*Successor, error) {
	if os.Getpid() == 1 {
		return nil, errors.New("this gateway is process 1, with which its container ends: start another container instead")
	}
	near, far, err := pair()
	if err != nil {
		return nil, fmt.Errorf("a connection to the new gateway: %w", err)
	}
	cmd, err := p.command(sockets, far)
	if err == nil {
		err = cmd.Start()
	}
	_ = far.Close()
	if err != nil {
		_ = near.Close()
		return nil, fmt.Errorf("the new gateway cannot be started: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- unasked(cmd.Wait()) }()
	names, err := p.await(ctx, near)
	if err != nil {
		return nil, refuse(cmd, near, ended, err)
	}
	kept, err := keep(sockets, names)
	if err != nil {
		return nil, refuse(cmd, near, ended, err)
	}
	// systemd must know before this process ends, or the service ends with it.
	if err := Notify(MainPID(cmd.Process.Pid)); err != nil {
		kept.Close()
		return nil, refuse(cmd, near, ended, err)
	}
	if _, err := near.Write([]byte(lineGo + "\n")); err != nil {
		kept.Close()
		_ = Notify(MainPID(os.Getpid()))
		return nil, refuse(cmd, near, ended, err)
	}
	unexpected := make(chan error, 1)
	go func() {
		defer func() { _ = near.Close() }()
		err := <-ended
		if err != nil && hasLeft(near) {
			err = nil
		}
		unexpected <- err
	}()
	return &Successor{PID: cmd.Process.Pid, Ended: unexpected, Sockets: kept}, nil
}

// command passes the sockets, and the link behind them.
func (p *Program) command(sockets []Socket, link *os.File) (*exec.Cmd, error) {
	is, err := identity(int(link.Fd()))
	if err != nil {
		return nil, err
	}
	// Of no context: it outlives this process.
	cmd := exec.CommandContext(context.Background(), p.Path, p.Args...) //nolint:gosec // as this process was started
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	given := make([]string, 0, len(sockets))
	for _, s := range sockets {
		given = append(given, s.Name)
		cmd.ExtraFiles = append(cmd.ExtraFiles, s.File)
	}
	cmd.ExtraFiles = append(cmd.ExtraFiles, link)
	for _, v := range p.Env {
		switch name, _, _ := strings.Cut(v, "="); name {
		case envPID, envFDs, envNames, envLink:
		default:
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Env = append(cmd.Env,
		fmt.Sprintf("%s=%d", envFDs, len(sockets)),
		envNames+"="+strings.Join(given, ":"),
		fmt.Sprintf("%s=%s:%d", envLink, is, firstFD+len(sockets)))
	return cmd, nil
}

func (p *Program) await(ctx context.Context, near *net.UnixConn) ([]string, error) {
	patience := p.Patience
	if patience == 0 {
		patience = Patience
	}
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("the new gateway was not ready within %v", patience))
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = near.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	names, err := readReady(near)
	if err != nil && ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return names, err
}

// refuse makes a process that serves nobody yet end, and says why it must.
func refuse(cmd *exec.Cmd, near *net.UnixConn, ended <-chan error, why error) error {
	_, _ = near.Write([]byte(lineNo + "\n")) // it may have gone
	_ = near.Close()
	_ = terminate(cmd.Process)
	select {
	case err := <-ended:
		return ending(why, err)
	case <-time.After(grace):
	}
	_ = cmd.Process.Kill()
	return ending(why, <-ended)
}

// ending is why, or how the process ended if it said nothing.
func ending(why, ended error) error {
	if !isEOF(why) {
		return why
	}
	if ended == nil {
		return errors.New("the new gateway ended without a word")
	}
	return fmt.Errorf("the new gateway ended without a word: %w", ended)
}
