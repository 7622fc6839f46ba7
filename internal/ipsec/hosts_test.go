package ipsec

import "testing"

func TestTransport(t *testing.T) {
	if new(Hosts).Transport() {
		t.Error("a pair without hosts is in transport mode")
	}
	if h := (Hosts{Local: ours.Addr(), Remote: theirs.Addr()}); !h.Transport() {
		t.Error("a pair with hosts is in tunnel mode")
	}
}
