package daemon

import (
	"context"
	"errors"
	"strings"
	"testing"

	"culvert/esp"
	"culvert/internal/ipsec"
)

func TestManualSAThatCannotBeInstalled(t *testing.T) {
	d, f, _ := testDaemon(t, peerText("a", "192.0.2.2", "2"), nil)
	f.refuse = errors.New("SPI 0x2001 is taken")
	writeConfig(t, d, peerText("a", "192.0.2.2", "2")+manualText("192.0.2.9", "01"))
	if _, err := d.Reload(context.Background(), forced); err != nil {
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
	if _, err := d.Reload(context.Background(), forced); err != nil || len(f.sas) != 1 {
		t.Errorf("it is not tried again: %v", err)
	}
}

// A manual SA that only moves goes on with its sequence numbers; one with another key starts again.
func TestManualSAGoesOn(t *testing.T) {
	d, f, _ := testDaemon(t, manualText("192.0.2.9", "01"), nil)
	for _, tt := range []struct {
		name, text string
		goesOn     bool
	}{
		{"another address", manualText("192.0.2.10", "01"), true},
		{"other networks", strings.Replace(manualText("192.0.2.10", "01"), "10.77.0.0/16", "10.78.0.0/16", 1), true},
		{"another key", manualText("192.0.2.10", "02"), false},
	} {
		var before ipsec.ChildSA
		for _, before = range f.sas {
		}
		writeConfig(t, d, tt.text)
		if _, err := d.Reload(context.Background(), forced); err != nil {
			t.Fatal(err)
		}
		if len(f.sas) != 1 {
			t.Fatalf("%s: %d SAs", tt.name, len(f.sas))
		}
		for _, sa := range f.sas {
			want := esp.State{}
			if tt.goesOn {
				want.Sent.Packets = uint64(before.ID)
			}
			if sa.State != want || sa.ID == before.ID || tt.goesOn != (sa.IVStart == before.IVStart) {
				t.Errorf("%s: pair %d, state %+v, want %+v", tt.name, sa.ID, sa.State, want)
			}
		}
	}
}
