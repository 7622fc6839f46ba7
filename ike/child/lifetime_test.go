package child

import (
	"bytes"
	"io"
	"testing"
	"testing/iotest"
	"time"
)

// TestRekeyMargin: the creator rekeys at 90 to 97% of the lifetime, the other side at 98 to 100%.
func TestRekeyMargin(t *testing.T) {
	zeros, broken := bytes.NewReader(make([]byte, 16)), iotest.ErrReader(io.EOF)
	for _, tt := range []struct {
		rand    io.Reader
		creator bool
		want    time.Duration
	}{
		{zeros, true, 97 * time.Second},
		{broken, true, 90 * time.Second}, // without randomness it is the most that may be taken off
		{zeros, false, 100 * time.Second},
		{broken, false, 98 * time.Second},
	} {
		if got := RekeyMargin(100*time.Second, tt.creator, tt.rand); got != tt.want {
			t.Errorf("by its creator %v: %v, want %v", tt.creator, got, tt.want)
		}
	}
}
