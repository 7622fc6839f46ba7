package esp

import "testing"

// Fetch changes nothing of an SA, of whatever kind, and allocates nothing.
func TestFetch(t *testing.T) {
	var list []*Inbound
	var peers []*Outbound
	for _, cipher := range []Cipher{{ID: AESGCM16, KeyBits: 128}, {ID: AESGCM16, KeyBits: 256}, {ID: ChaCha20Poly1305, KeyBits: 256}} {
		for _, window := range []int{0, 64, 4096} {
			sa := &SA{SPI: 1000, Cipher: cipher, Key: make([]byte, cipher.KeyLen()), ESN: true, ReplayWindow: window}
			in, err := NewInbound(sa)
			if err != nil {
				t.Fatal(err)
			}
			out, err := NewOutbound(sa)
			if err != nil {
				t.Fatal(err)
			}
			list, peers = append(list, in, nil), append(peers, out, nil)
		}
	}
	if n := testing.AllocsPerRun(10, func() { Fetch(list) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	var s Scratch
	for i, in := range list {
		if in == nil {
			continue
		}
		for want := uint64(1); want <= 3; want++ {
			seq, _, err := peers[i].Reserve(1, 4)
			if err != nil {
				t.Fatal(err)
			}
			run := []Packet{{Data: peers[i].Seal(&s, make([]byte, 128), seq, []byte("text"), NextIPv4)}}
			Fetch(list)
			if in.Open(&s, run); run[0].Err != nil || string(run[0].Data) != "text" || in.Used().Packets != want {
				t.Errorf("SA %d, packet %d: %v, %d counted", i, want, run[0].Err, in.Used().Packets)
			}
			Fetch(list)
		}
	}
	if Fetch(nil) != 0 || Fetch([]*Inbound{nil}) != 0 {
		t.Error("something was loaded for nobody")
	}
}
