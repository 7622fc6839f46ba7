package gso

import "testing"

func TestOffloadsString(t *testing.T) {
	for o, want := range map[Offloads]string{{}: "none", {Checksum: true}: "checksum", {TSO: true, USO: true}: "tso,uso", allOffloads: "checksum,tso,uso"} {
		if got := o.String(); got != want {
			t.Errorf("%+v: %q, want %q", o, got, want)
		}
	}
}
