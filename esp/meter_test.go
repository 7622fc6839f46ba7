package esp

import (
	"errors"
	"testing"
)

// The last octet before a hard limit can be sent, and none after it.
func TestHardOctetsAreExact(t *testing.T) {
	out, err := NewOutbound(&SA{SPI: 256, Key: make([]byte, 20), Cipher: Cipher{AESGCM16, 128}, Limits: Limits{HardBytes: 100}})
	if err != nil {
		t.Fatalf("the lowest SPI: %v", err)
	}
	if _, _, err := out.Reserve(1, 100); err != nil {
		t.Errorf("up to the limit: %v", err)
	}
	if _, _, err := out.Reserve(1, 1); !errors.Is(err, ErrExhausted) {
		t.Errorf("beyond the limit: %v", err)
	}
}

// The shortest packet with an SPI has no payload and no padding.
func TestSPINeedsAWholePacket(t *testing.T) {
	pkt := make([]byte, HeaderLen+IVLen+2+ICVLen)
	pkt[3] = 1
	if spi, ok := SPI(pkt); !ok || spi != 1 {
		t.Errorf("SPI %d, %v, want 1", spi, ok)
	}
	if _, ok := SPI(pkt[:len(pkt)-1]); ok {
		t.Error("a packet that is too short has an SPI")
	}
}
