package main

import (
	"os"
	"syscall"
	"testing"
)

// Ctrl-C at a terminal releases; a service manager's end does not, nor Ctrl-C in a pipe.
func TestByHand(t *testing.T) {
	for _, tt := range []struct {
		signal        os.Signal
		stdin, stderr bool
		want          bool
	}{
		{os.Interrupt, true, true, true}, {os.Interrupt, true, false, false}, {os.Interrupt, false, true, false}, {syscall.SIGTERM, true, true, false},
	} {
		if got := byHand(tt.signal, tt.stdin, tt.stderr); got != tt.want {
			t.Errorf("%v: got %v", tt, got)
		}
	}
}
