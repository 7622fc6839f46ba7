package daemon

import (
	"context"
	"errors"
	"testing"
)

func TestManualSAThatCannotBeInstalled(t *testing.T) {
	d, f, _ := testDaemon(t, peerText("a", "192.0.2.2", "2"), nil)
	f.refuse = errors.New("SPI 0x2001 is taken")
	writeConfig(t, d, peerText("a", "192.0.2.2", "2")+manualText("192.0.2.9", "01"))
	if _, err := d.Reload(context.Background()); err != nil {
		t.Fatal(err)
	}
	st, err := d.Status(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if c := st.Peers[1].Children[0]; c.State != "down" || c.Reason != "SPI 0x2001 is taken" {
		t.Errorf("got %+v, want the reason", c)
	}
	f.refuse = nil
	if _, err := d.Reload(context.Background()); err != nil || len(f.sas) != 1 {
		t.Errorf("it is not tried again: %v", err)
	}
}
