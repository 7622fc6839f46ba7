package cbpf

import (
	"errors"
	"strings"
	"testing"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// firstIs lets in what begins with an octet.
func firstIs(octet uint32) []bpf.Instruction {
	return []bpf.Instruction{
		bpf.LoadAbsolute{Off: 0, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: octet, SkipFalse: 1},
		bpf.RetConstant{Val: 1 << 16},
		bpf.RetConstant{Val: 0},
	}
}

// TestAttach: a socket receives what the program lets in, and after another one what that does.
func TestAttach(t *testing.T) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pair[0])
	defer unix.Close(pair[1])
	for _, first := range []byte{'b', 'a'} {
		if err := Attach(pair[1], unix.SO_ATTACH_FILTER, firstIs(uint32(first))); err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{"all", "but", "any"} {
			if _, err := unix.Write(pair[0], []byte(text)); err != nil && !errors.Is(err, unix.EPERM) {
				t.Fatal(err)
			}
		}
		var got []string
		for buf := make([]byte, 8); ; {
			n, err := unix.Read(pair[1], buf)
			if err != nil {
				break
			}
			got = append(got, string(buf[:n]))
		}
		if want := map[byte]string{'a': "all any", 'b': "but"}[first]; strings.Join(got, " ") != want {
			t.Errorf("with %c came %q, want %s", first, got, want)
		}
	}
}

// TestAttachFails: what cannot be assembled, and what the kernel refuses.
func TestAttachFails(t *testing.T) {
	err := Attach(-1, unix.SO_ATTACH_FILTER, []bpf.Instruction{bpf.LoadAbsolute{Size: 3}})
	if err == nil || !strings.HasPrefix(err.Error(), "assembling a socket filter: ") {
		t.Errorf("a load of three octets: %v", err)
	}
	if err := Attach(-1, unix.SO_ATTACH_FILTER, firstIs(0)); !errors.Is(err, unix.EBADF) {
		t.Errorf("without a socket: %v", err)
	}
}
