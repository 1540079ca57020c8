package handover

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
)

// What Notify says.
const (
	NotifyReady    = "READY=1"
	NotifyStopping = "STOPPING=1"
)

// MainPID tells Notify which process the service is from now on.
func MainPID(pid int) string { return "MAINPID=" + strconv.Itoa(pid) }

// Notify tells systemd of the service's state, as sd_notify(3) has it. Without
// systemd it does nothing.
func Notify(state ...string) error {
	to := os.Getenv("NOTIFY_SOCKET")
	if to == "" {
		return nil
	}
	// A name that begins with @ is abstract, in Go as there.
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: to, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("NOTIFY_SOCKET: %w", err)
	}
	defer func() { _ = c.Close() }()
	if _, err = c.Write([]byte(strings.Join(state, "\n"))); err != nil {
		return fmt.Errorf("NOTIFY_SOCKET: %w", err)
	}
	return nil
}
