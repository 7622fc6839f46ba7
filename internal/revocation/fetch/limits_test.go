package fetch

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// Of one host a few fetches run at a time, and all hosts together have more.
func TestLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimits()
		var leave []func()
		enter := func(host string) error {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			f, err := l.enter(ctx, host)
			if err == nil {
				leave = append(leave, f)
			}
			return err
		}
		for _, host := range []string{"a", "b", "c", "d"} {
			for range maxRunningHost {
				if err := enter(host); err != nil {
					t.Fatal(err)
				}
			}
			if err := enter(host); err != errTime {
				t.Errorf("one more fetch from %s: %v", host, err)
			}
		}
		if err := enter("e"); err != errTime {
			t.Errorf("one more fetch in all: %v", err)
		}
		for _, f := range leave {
			f()
		}
		if len(l.hosts) != 0 || len(l.running) != 0 {
			t.Errorf("%d hosts and %d fetches are left", len(l.hosts), len(l.running))
		}
	})
}

// Fetches from one host begin one after the other.
func TestHostPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimits()
		begin := time.Now()
		for i := range maxRunningHost {
			if _, err := l.enter(t.Context(), "a"); err != nil || time.Since(begin) != time.Duration(i)*hostPause {
				t.Errorf("fetch %d begins after %v, %v", i, time.Since(begin), err)
			}
			if _, err := l.enter(t.Context(), string(rune('b'+i))); err != nil || time.Since(begin) != time.Duration(i)*hostPause {
				t.Errorf("that of another host begins after %v, %v", time.Since(begin), err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), hostPause/2)
		defer cancel()
		l.hosts["z"] = &host{running: make(chan struct{}, 1), next: time.Now().Add(hostPause)}
		if _, err := l.enter(ctx, "z"); err != errTime {
			t.Errorf("%v", err)
		}
	})
}
