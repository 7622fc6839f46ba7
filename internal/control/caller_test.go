package control

import (
	"context"
	"net"
	"os"
	"os/user"
	"strconv"
	"testing"
)

// The daemon learns who gave a command from the kernel, not from the client.
func TestCaller(t *testing.T) {
	var by string
	f := &fake{act: func(_ context.Context, _ Action, t Target) (string, error) { by = t.By; return "", nil }}
	c := NewClient(serveFake(t, f))
	if _, err := c.Act(context.Background(), Down, Target{Peer: "right", By: "somebody else"}); err != nil {
		t.Fatal(err)
	}
	want := "uid " + strconv.Itoa(os.Getuid())
	if u, err := user.Current(); err == nil {
		want = u.Username
	}
	if by != want {
		t.Errorf("the command is of %q, want %q", by, want)
	}
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	if who := caller(withCaller(context.Background(), a)); who != "unknown" || userOf(a) != "unknown" {
		t.Errorf("the other end of a pipe is %q", who)
	}
}
