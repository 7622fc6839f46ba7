package control

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestListen(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a", "b", "c.sock")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("got mode %v, %v, want 0600", info.Mode(), err)
	}
	if _, err := Listen(path); err == nil || !strings.Contains(err.Error(), "a culvert daemon already listens on "+path+"; stop it") {
		t.Errorf("second daemon: got %v", err)
	}
	// A daemon that was killed leaves its socket behind.
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
	l, err = Listen(path)
	if err != nil {
		t.Fatalf("stale socket: %v", err)
	}
	l.Close()
	if _, err := os.Stat(path); err == nil {
		t.Error("the socket is still there after Close")
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(file); err == nil || !strings.Contains(err.Error(), "exists and is not a socket; remove it") {
		t.Errorf("ordinary file: got %v", err)
	}
	if data, _ := os.ReadFile(file); string(data) != "precious" {
		t.Error("an ordinary file was removed")
	}
	if _, err := Listen(filepath.Join(file, "c.sock")); !errors.Is(err, syscall.ENOTDIR) || !strings.Contains(err.Error(), "[daemon] control") {
		t.Errorf("below a file: got %v", err)
	}
}

// TestAlive: a daemon is alive while it listens, and not because its socket is there.
func TestAlive(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.sock")
	if Alive(path) {
		t.Error("alive without a socket")
	}
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	if !Alive(path) {
		t.Error("not alive while it listens")
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
	if Alive(path) {
		t.Error("alive after its end")
	}
}
