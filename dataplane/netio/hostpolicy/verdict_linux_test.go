package hostpolicy

import (
	"testing"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

func TestParseVerdict(t *testing.T) {
	jump := int32(nftJump)
	b := attr(unix.NFTA_DATA_VERDICT, append(attr(unix.NFTA_VERDICT_CODE, be(uint32(jump))), attr(unix.NFTA_VERDICT_CHAIN, nl.ZeroTerminated("to"))...))
	if v := parseVerdict(b); v == nil || *v != (verdict{nftJump, "to"}) {
		t.Errorf("the verdict is %+v", v)
	}
	if v := parseVerdict(attr(unix.NFTA_DATA_VALUE, []byte{1})); v != nil {
		t.Errorf("a value is the verdict %+v", v)
	}
	if got := dataOf(attr(unix.NFTA_DATA_VALUE, []byte{1, 2})); string(got) != "\x01\x02" || dataOf(b) != nil {
		t.Errorf("the value is %x", got)
	}
}
