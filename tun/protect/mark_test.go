package protect

import "testing"

func TestMark(t *testing.T) {
	if got := DefaultMark.String(); got != "0x20/0x60" {
		t.Errorf("the default mark is %s", got)
	}
	const others = 0xc000 | 0x3f00 | 0xff0000 | 0x0f00 | 0xffff0000
	if DefaultMark.Mask&others != 0 || DefaultMark.Value&^DefaultMark.Mask != 0 {
		t.Errorf("%s has bits that others use", DefaultMark)
	}
	if e, ok := DefaultMark.Errors(); !ok || e != (Mark{0x40, 0x60}) {
		t.Errorf("the mark of ICMP errors is %s, %v", e, ok)
	}
	if e, ok := (Mark{1, 1}).Errors(); ok {
		t.Errorf("a mark of one bit leaves %s for ICMP errors", e)
	}
}
