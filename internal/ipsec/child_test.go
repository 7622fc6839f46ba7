package ipsec

import (
	"bytes"
	"reflect"
	"testing"

	"culvert/esp"
)

// Each direction has its own SPI and key, and all else of the pair.
func TestDirections(t *testing.T) {
	sa := ChildSA{
		ID: 3, SPIIn: 0x1001, SPIOut: 0x2002, KeyIn: []byte("in"), KeyOut: []byte("out"), Cipher: esp.Cipher{ID: esp.AESGCM16, KeyBits: 128}, ESN: true, IVStart: 9, ReplayWindow: 64,
		State: esp.State{Sent: esp.Usage{Packets: 7}}, Limits: esp.Limits{HardPackets: 100},
	}
	common := esp.SA{Cipher: sa.Cipher, ESN: true, IVStart: 9, ReplayWindow: 64, State: sa.State, Limits: sa.Limits}
	in, out := common, common
	in.SPI, in.Key = 0x1001, []byte("in")
	out.SPI, out.Key = 0x2002, []byte("out")
	if got := sa.Inbound(); !reflect.DeepEqual(*got, in) {
		t.Errorf("inbound: got %+v, want %+v", *got, in)
	}
	if got := sa.Outbound(); !reflect.DeepEqual(*got, out) {
		t.Errorf("outbound: got %+v, want %+v", *got, out)
	}
}

// The keys are cleared in every copy, for they share their memory.
func TestClearKeys(t *testing.T) {
	sa := ChildSA{KeyIn: []byte("secret of the one"), KeyOut: []byte("and of the other")}
	shared := sa
	in, out := sa.Inbound(), sa.Outbound()
	sa.ClearKeys()
	for _, key := range [][]byte{shared.KeyIn, shared.KeyOut, in.Key, out.Key} {
		if len(key) == 0 || !bytes.Equal(key, make([]byte, len(key))) {
			t.Errorf("a copy has the key %q", key)
		}
	}
	new(ChildSA).ClearKeys() // of an SA without keys
}
