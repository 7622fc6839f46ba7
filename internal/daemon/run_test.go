package daemon

import (
	"context"
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
)

// The daemon works until it is told to end, which is not an error, or until a part of it ends.
func TestWait(t *testing.T) {
	failed := errors.New("failed")
	over, cancel := context.WithCancel(t.Context())
	cancel()
	for name, tt := range map[string]struct {
		ctx        context.Context
		part, want error
	}{
		"told to end":            {ctx: over},
		"a part failed":          {t.Context(), failed, failed},
		"a part ended by itself": {t.Context(), nil, errEnded},
	} {
		ended := make(chan error, 1)
		if tt.ctx != over {
			ended <- tt.part
		}
		if err := (&Daemon{}).wait(tt.ctx, ended); err != tt.want {
			t.Errorf("%s: got %v, want %v", name, err, tt.want)
		}
	}
}

// Each signal reloads the configuration; a closed channel is not read again.
func TestWaitReloads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, _, log := testDaemon(t, peerText("a", "192.0.2.2", "1"), nil)
		signals := make(chan os.Signal)
		d.opts.Reload = signals
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- d.wait(ctx, nil) }()
		signals <- syscall.SIGHUP
		signals <- syscall.SIGHUP
		close(signals)
		synctest.Wait()
		if n := strings.Count(log.String(), "configuration reloaded"); n != 2 {
			t.Errorf("reloaded %d times, want 2", n)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		d.resolver.close()
	})
}
