package tuntest

import (
	"errors"
	"os"
	"testing"

	"culvert/tun"

	"golang.org/x/sys/unix"
)

func readable(t *testing.T, fd int) bool {
	t.Helper()
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	n, err := unix.Poll(fds, 0)
	if err != nil {
		t.Fatal(err)
	}
	return n == 1
}

func TestQueue(t *testing.T) {
	q, err := New()
	if err != nil {
		t.Fatal(err)
	}
	var p tun.Packet
	buf := make([]byte, 64)
	if err := q.Read(buf, 8, &p); !errors.Is(err, tun.ErrWouldBlock) || readable(t, q.FD()) {
		t.Fatalf("empty: %v", err)
	}
	q.Inject(tun.Packet{Data: []byte("one"), GSO: tun.GSOUDP, SegSize: 2})
	q.Inject(tun.Packet{Data: []byte("two")})
	if !readable(t, q.FD()) {
		t.Fatal("two packets wait and the queue cannot be polled")
	}
	if err := q.Read(buf, 8, &p); err != nil || string(p.Data) != "one" || &p.Data[0] != &buf[8] || p.GSO != tun.GSOUDP || p.SegSize != 2 {
		t.Fatalf("got %+v, %v", p, err)
	}
	if err := q.Read(buf, 8, &p); err != nil || string(p.Data) != "two" || readable(t, q.FD()) {
		t.Fatalf("got %+v, %v", p, err)
	}
	q.SetLimit(1)
	if err := q.Write(&tun.Packet{NeedsChecksum: true}, [][]byte{[]byte("a"), []byte("bc")}); err != nil {
		t.Fatal(err)
	}
	<-q.Wrote()
	if err := q.Write(&tun.Packet{}, nil); !errors.Is(err, tun.ErrWouldBlock) {
		t.Fatalf("beyond the limit: %v", err)
	}
	if got := q.Take(); len(got) != 1 || string(got[0].Data) != "abc" || !got[0].NeedsChecksum {
		t.Fatalf("Take = %+v", got)
	}
	q.Close()
	if err := q.Read(buf, 8, &p); !errors.Is(err, os.ErrClosed) {
		t.Fatalf("after Close: %v", err)
	}
}
