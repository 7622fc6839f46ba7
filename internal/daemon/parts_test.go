package daemon

import (
	"testing"

	"culvert/ike"
	"culvert/internal/config"
)

// IP protocol 50 is needed unless every peer is always sent ESP in UDP.
func TestNeedsRawESP(t *testing.T) {
	for _, tt := range []struct {
		modes []ike.EncapMode
		want  bool
	}{
		{nil, false},
		{[]ike.EncapMode{ike.EncapAlways}, false},
		{[]ike.EncapMode{ike.EncapAuto}, true},
		{[]ike.EncapMode{ike.EncapNever}, true},
		{[]ike.EncapMode{ike.EncapAlways, ike.EncapAuto}, true},
	} {
		cfg := &config.Config{}
		for _, m := range tt.modes {
			cfg.Peers = append(cfg.Peers, config.Peer{Peer: ike.Peer{Encap: m}})
		}
		if got := needsRawESP(cfg); got != tt.want {
			t.Errorf("encap %v: got %v, want %v", tt.modes, got, tt.want)
		}
	}
}

// A change of the host's links is noted once until it is taken, and never blocks.
func TestHostChanged(t *testing.T) {
	p := &parts{host: make(chan struct{}, 1)}
	for range 3 {
		p.hostChanged()
	}
	<-p.host
	select {
	case <-p.host:
		t.Error("noted twice")
	default:
	}
}
