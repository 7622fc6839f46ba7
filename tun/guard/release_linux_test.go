package guard

import (
	"errors"
	"os"
	"slices"
	"testing"
)

func TestStandsUntilReleased(t *testing.T) {
	h := newHost(t)
	g := openIn(t, h, testConfig(), both())
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	if err := g.Apply(both()); !errors.Is(err, os.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	other := testConfig()
	other.Device = "cv1"
	openIn(t, h, other, both())
	standing := func(device string) (ok bool) {
		if err := h.Do(func() (err error) { _, ok, err = Standing(device); return err }); err != nil {
			t.Fatal(err)
		}
		return ok
	}
	if !standing("cv0") || !standing("cv1") || standing("cv2") {
		t.Error("the guards are not those that were put up")
	}
	var o Opened
	if err := h.Do(func() (err error) { o, err = Release("cv0"); return err }); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(o.Local, pfx("10.1.0.0/24", "fd01::/64")) || !slices.Equal(o.Remote, pfx("10.2.0.0/24", "fd02::/64")) {
		t.Errorf("released %+v", o)
	}
	if standing("cv0") || !standing("cv1") {
		t.Error("the wrong guard is gone")
	}
	if err := h.Do(func() (err error) { o, err = Release("cv0"); return err }); err != nil || len(o.Local) > 0 {
		t.Errorf("nothing to release: %+v, %v", o, err)
	}
}
