package netlab

import (
	"bytes"
	"context"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// socketPair returns two connected sockets of datagrams on loopback.
func socketPair(t *testing.T) (tx, rx int) {
	t.Helper()
	var fds [2]int
	for i := range fds {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Close(fd) })
		fds[i] = fd
	}
	for i, fd := range fds {
		if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
			t.Fatal(err)
		}
		name, err := unix.Getsockname(fd)
		if err != nil {
			t.Fatal(err)
		}
		if i == 1 {
			err = unix.Connect(fds[0], name)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return fds[0], fds[1]
}

// Datagrams are received whole and in order, with their control messages; one that is longer than
// its buffer is cut off.
func TestManyDatagrams(t *testing.T) {
	tx, rx := socketPair(t)
	if err := unix.SetsockoptInt(rx, unix.IPPROTO_IP, unix.IP_RECVTOS, 1); err != nil {
		t.Fatal(err)
	}
	in := newMsgs(8, 100, unix.CmsgSpace(1))
	if n, err := in.receive(rx); n != 0 || err != nil {
		t.Fatalf("of nothing: %d, %v", n, err)
	}
	out := newMsgs(3, 120, 0)
	lengths := []int{1, 100, 120}
	for i, n := range lengths {
		for k := range out.bufs[i] {
			out.bufs[i][k] = byte(i + k)
		}
		out.iovs[i].SetLen(n)
	}
	for range 2 { // the second time with the control room that the first has used
		if n, err := out.send(tx, 3); n != 3 || err != nil {
			t.Fatalf("sent %d, %v", n, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		got := 0
		err := Until(ctx, "datagrams", func() bool {
			n, err := in.receive(rx)
			if err != nil {
				t.Error(err)
			}
			for i := range n {
				if want := out.bufs[got][:min(lengths[got], 100)]; !bytes.Equal(in.text(i), want) {
					t.Errorf("datagram %d has %d octets, want %d", got, len(in.text(i)), len(want))
				}
				if c, err := unix.ParseSocketControlMessage(in.control(i)); err != nil || len(c) != 1 || c[0].Header.Type != unix.IP_TOS {
					t.Errorf("datagram %d has the control messages %v, %v", got, c, err)
				}
				got++
			}
			return got == len(lengths)
		})
		if cancel(); err != nil {
			t.Fatal(err)
		}
	}
}

// What does not fit the receive buffer is counted.
func TestSocketDrops(t *testing.T) {
	tx, rx := socketPair(t)
	if err := unix.SetsockoptInt(rx, unix.SOL_SOCKET, unix.SO_RCVBUF, 1); err != nil { // the least that there is
		t.Fatal(err)
	}
	out := newMsgs(50, 1000, 0)
	n, err := out.send(tx, 50)
	if err != nil || n != 50 {
		t.Fatalf("sent %d, %v", n, err)
	}
	in, got := newMsgs(50, 1000, 0), 0
	for {
		n, err := in.receive(rx)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			break
		}
		got += n
	}
	if drops, err := socketDrops(rx); err != nil || drops == 0 || drops+uint64(got) != 50 {
		t.Errorf("%d dropped and %d received of 50, %v", drops, got, err)
	}
	if _, err := socketDrops(-1); err == nil {
		t.Error("no error about no socket")
	}
}
