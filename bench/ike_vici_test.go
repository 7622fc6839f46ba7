package bench

import (
	"io"
	"net"
	"reflect"
	"testing"
)

// TestVICI sends a command and reads its answer.
func TestVICI(t *testing.T) {
	near, far := net.Pipe()
	answer := "\x00\x00\x00\x1b\x01\x03\x07success\x00\x02no\x03\x06errmsg\x00\x03bad"
	want := "\x00\x00\x00\x16\x00\x08initiate\x03\x05child\x00\x03net"
	got := make([]byte, len(want))
	go func() {
		_, _ = io.ReadFull(far, got)
		_, _ = io.WriteString(far, answer)
	}()
	values, err := vici{near}.call("initiate", [2]string{"child", "net"})
	if err != nil || !reflect.DeepEqual(values, map[string]string{"success": "no", "errmsg": "bad"}) {
		t.Errorf("got %v, %v", values, err)
	}
	if string(got) != want {
		t.Errorf("sent %q, want %q", got, want)
	}
	const one = 13 // octets of a key and a value here
	for i := 1; i < 2*one; i++ {
		b := []byte(answer)[5 : 5+i]
		if values, err := readVICI(b); err == nil && i != one {
			t.Errorf("%q is read as %v", b, values)
		}
	}
}
