package hostpolicy

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/vishvananda/netlink/nl"
)

// Attributes end where their lengths are wrong.
func TestAttributes(t *testing.T) {
	whole := append(nl.NewRtAttr(7|unix.NLA_F_NESTED, []byte("abc")).Serialize(), nl.NewRtAttr(8, nil).Serialize()...)
	read := func(b []byte) (out string) {
		for kind, v := range attributes(b) {
			out += fmt.Sprintf("%d=%s ", kind, v)
		}
		return out
	}
	if got := read(whole); got != "7=abc 8= " {
		t.Errorf("read %q", got)
	}
	for n := range whole {
		if got := read(whole[:n]); n < 12 && got != "7=abc " && got != "" {
			t.Errorf("of %d octets: %q", n, got)
		}
	}
	if got := read([]byte{3, 0, 7, 0, 1, 1, 1, 1}); got != "" {
		t.Errorf("with a length that is too small: %q", got)
	}
	if number([]byte{0, 0, 1, 2}) != 258 || number([]byte{1}) != 0 || text([]byte("ab\x00c")) != "ab" {
		t.Error("numbers are 32 bits in network order, and strings end at a zero")
	}
}

// A list of more objects than the bound is an error.
func TestListIsBounded(t *testing.T) {
	h := newHost(t)
	if err := h.NFT("add table inet one", "add table inet two"); err != nil {
		t.Fatal(err)
	}
	for most, want := range map[int]error{1: errLarge, 2: nil} {
		var names bytes.Buffer
		if err := h.Do(func() error {
			return nftables(unix.NFT_MSG_GETTABLE, unix.NFPROTO_UNSPEC, most, nil, func(_ uint8, b []byte) {
				for kind, v := range attributes(b) {
					if kind == unix.NFTA_TABLE_NAME {
						names.WriteString(text(v) + " ")
					}
				}
			})
		}); !errors.Is(err, want) || want == nil && names.String() != "one two " {
			t.Errorf("at most %d: %v, %q", most, err, names.String())
		}
	}
	if !isAbsent(unix.EPROTONOSUPPORT) || isAbsent(unix.EPERM) {
		t.Error("a kernel without nftables is not one that does not allow it")
	}
}
