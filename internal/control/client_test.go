package control

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"testing"
	"time"
)

func TestNoDaemon(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.sock")
	want := "no culvert daemon listens at " + path + "; start it, or give another socket with --control"
	if _, err := NewClient(path).Status(context.Background(), ""); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
	if _, err := NewClient(path).Status(context.Background(), ""); err == nil || err.Error() != want {
		t.Errorf("stale socket: got %v, want %s", err, want)
	}
}

func TestClientAndServer(t *testing.T) {
	f := &fake{status: Status{Version: 1, Peers: []Peer{{Name: "left"}, {Name: "right"}}}}
	f.act = func(_ context.Context, a Action, t Target) (string, error) {
		if t.Peer != "right" {
			return "", NoPeer(t.Peer, nil, 0)
		}
		return fmt.Sprintf("%s %s/%s", a, t.Peer, t.Child), nil
	}
	c := NewClient(serveFake(t, f))
	ctx := context.Background()
	if st, err := c.Status(ctx, ""); err != nil || len(st.Peers) != 2 {
		t.Errorf("status: got %v, %v, want two peers", st, err)
	}
	if st, err := c.Status(ctx, "right"); err != nil || len(st.Peers) != 1 || st.Peers[0].Name != "right" {
		t.Errorf("status of right: got %v, %v", st, err)
	}
	if _, err := c.Status(ctx, "x y"); err == nil || err.Error() != `there is no peer "x y": configured are left, right` {
		t.Errorf("status of a stranger: got %v", err)
	}
	if text, err := c.Act(ctx, Rekey, Target{Peer: "right", Child: "lan"}); err != nil || text != "rekey right/lan" {
		t.Errorf("rekey: got %q, %v", text, err)
	}
	if _, err := c.Act(ctx, Up, Target{Peer: "nobody"}); err == nil || err.Error() != `there is no peer "nobody": none is configured` {
		t.Errorf("up: got %v", err)
	}
	if lines, err := c.Explain(ctx, "right"); err != nil || len(lines) != 2 {
		t.Errorf("explain: got %q, %v", lines, err)
	}
	var e *Error
	if out, err := c.Reload(ctx, ReloadHow{DryRun: true, Force: true}); err != nil || out.Summary != "{DryRun:true Force:true}" {
		t.Errorf("got %+v, %v", out, err)
	}
	if _, err := c.Reload(ctx, ReloadHow{}); !errors.As(err, &e) || len(e.Errors) != 2 || e.Code != http.StatusUnprocessableEntity {
		t.Errorf("reload: got %v, want two errors", err)
	}
}

func TestACommandEndsWithItsClient(t *testing.T) {
	ended := make(chan error, 1)
	f := &fake{act: func(ctx context.Context, _ Action, _ Target) (string, error) {
		<-ctx.Done()
		ended <- ctx.Err()
		return "", ctx.Err()
	}}
	c := NewClient(serveFake(t, f))
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := c.Act(ctx, Up, Target{Peer: "right"}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the client's own deadline", err)
	}
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("in the daemon: got %v", err)
	}
}
