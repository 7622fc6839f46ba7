package guard

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// body returns the only message of a batch without its header: nfgenmsg and attributes.
func body(b *batch) []byte { return b.request(1)[unix.NLMSG_HDRLEN:] }

// Answers are parsed as they were written, and a truncated or damaged one does no harm.
func TestAnswers(t *testing.T) {
	counter := newBatch("t")
	counter.addCounter("out", 7)
	if name, n := parseCounter(body(counter)); name != "out" || n != 7 {
		t.Errorf("the counter is %q, %d", name, n)
	}
	set := newBatch("t")
	list := rangesOf("10.1.0.0/24", "255.255.255.0/24")
	set.ranges(unix.NFT_MSG_NEWSETELEM, "s", list)
	if got := intervals(parseElements(body(set), nil)); !slices.Equal(got, list) {
		t.Errorf("the intervals are %v, want %v", got, list)
	}
	table := newBatch("culvert-x")
	table.addTable()
	if name, _ := parseNotice(subsystem|unix.NFT_MSG_NEWTABLE, body(table)); name != "culvert-x" {
		t.Errorf("the notice is about table %q", name)
	}
	for _, whole := range [][]byte{body(counter), body(set), body(table)} {
		for n := range len(whole) + 1 {
			parseAll(whole[:n])
		}
		for i := range whole {
			for _, v := range []byte{0, 1, 3, 5, 0xff} {
				damaged := slices.Clone(whole)
				damaged[i] = v
				parseAll(damaged)
			}
		}
	}
}

func parseAll(data []byte) {
	parseError(data)
	parseCounter(data)
	parseNotice(subsystem|unix.NFT_MSG_NEWTABLE, data)
	parseNotice(subsystem|unix.NFT_MSG_NEWGEN, data)
	intervals(parseElements(data, nil))
}

// A notice about another family's table of the same name is not about the guard's, and the end of a
// change names the program.
func TestNotices(t *testing.T) {
	table := newBatch("culvert-x")
	table.addTable()
	other := body(table)
	other[0] = unix.NFPROTO_IPV4
	if name, _ := parseNotice(subsystem|unix.NFT_MSG_NEWTABLE, other); name != "" {
		t.Errorf("a table of family ip is taken for %q", name)
	}
	end := newBatch("")
	end.begin(subsystem|unix.NFT_MSG_NEWGEN, 0, "")
	end.text(unix.NFTA_GEN_PROC_NAME, "nft")
	if name, program := parseNotice(subsystem|unix.NFT_MSG_NEWGEN, body(end)); name != "" || program != "nft" {
		t.Errorf("the end of a change names table %q and program %q", name, program)
	}
	if name, program := parseNotice(unix.NLMSG_DONE, body(end)); name != "" || program != "" {
		t.Errorf("a message of another subsystem names %q, %q", name, program)
	}
}

// An acknowledgement holds a negative error number, the header of the request, and perhaps a text.
func TestAcknowledgements(t *testing.T) {
	ack := func(errno unix.Errno, text string) []byte {
		b := binary.NativeEndian.AppendUint32(nil, uint32(-int32(errno)))
		b = append(b, make([]byte, unix.NLMSG_HDRLEN)...)
		x := &batch{}
		if text != "" {
			x.text(unix.NLMSGERR_ATTR_MSG, text)
		}
		return append(b, x.buf...)
	}
	if errno, text := parseError(ack(0, "")); errno != 0 || text != "" {
		t.Errorf("success is %v, %q", errno, text)
	}
	if errno, text := parseError(ack(unix.EBUSY, "it is in use")); errno != unix.EBUSY || text != "it is in use" {
		t.Errorf("got %v, %q", errno, text)
	}
	if errno, _ := parseError([]byte{1}); errno != unix.EBADMSG {
		t.Errorf("a truncated one is %v", errno)
	}
	all := intervals([]end{{Addr: netip.IPv4Unspecified()}})
	if len(all) != 1 || all[0].Last != netip.MustParseAddr("255.255.255.255") {
		t.Errorf("an interval without an end is %v", all)
	}
}
