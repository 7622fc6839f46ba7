package guard

import (
	"encoding/binary"
	"errors"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// The messages of a batch are whole, numbered, and between a begin and an end; the last one before
// the end asks for the answer.
func TestBatchOfMessages(t *testing.T) {
	b := newBatch("culvert-x")
	if !b.empty() {
		t.Error("a new batch is not empty")
	}
	b.addTable()
	b.addCounter("a", 7) // a name that needs padding
	b.addChain("abc")
	b.addRule("abc", icmpType(3), drop())
	if b.empty() || b.err != nil {
		t.Errorf("with messages it is empty, or %v", b.err)
	}
	raw, last := b.finish(100)
	messages, err := syscall.ParseNetlinkMessage(raw)
	if err != nil {
		t.Fatal(err)
	}
	want := []uint16{unix.NFNL_MSG_BATCH_BEGIN, subsystem | unix.NFT_MSG_NEWTABLE, subsystem | unix.NFT_MSG_NEWOBJ, subsystem | unix.NFT_MSG_NEWCHAIN, subsystem | unix.NFT_MSG_NEWRULE, unix.NFNL_MSG_BATCH_END}
	if len(messages) != len(want) || last != 100+uint32(len(want))-1 {
		t.Fatalf("%d messages up to number %d", len(messages), last)
	}
	for i, m := range messages {
		if m.Header.Type != want[i] || m.Header.Seq != 100+uint32(i) || m.Header.Flags&unix.NLM_F_REQUEST == 0 || m.Header.Len%4 != 0 {
			t.Errorf("message %d has the header %+v", i, m.Header)
		}
		if ack := m.Header.Flags&unix.NLM_F_ACK != 0; ack != (i == len(want)-2) {
			t.Errorf("message %d asks for an answer: %v", i, ack)
		}
		ours := m.Header.Type >= subsystem
		if family := m.Data[0]; ours != (family == unix.NFPROTO_INET) || ours == (binary.BigEndian.Uint16(m.Data[2:]) == unix.NFNL_SUBSYS_NFTABLES) {
			t.Errorf("message %d is about family %d, %v", i, family, m.Data[:4])
		}
	}
}

// A refusal names what was refused.
func TestRefusalNamesTheMessage(t *testing.T) {
	b := newBatch("culvert-x")
	b.addTable()
	b.deleteChain("abc")
	b.finish(1)
	for i, want := range []string{"refused the batch", "refused table culvert-x", "refused removal of chain abc", "refused the end of the batch", "refused the batch"} {
		err := b.explain(uint32(i), unix.ENOENT, "")
		if !errors.Is(err, unix.ENOENT) || !strings.Contains(err.Error(), want) {
			t.Errorf("message %d: got %v, want %q", i, err, want)
		}
	}
	if err := b.explain(1, unix.EBUSY, "it is in use"); !errors.Is(err, unix.EBUSY) || !strings.Contains(err.Error(), "(it is in use)") {
		t.Errorf("with a text: %v", err)
	}
	b.err = errors.New("not encoded")
	if err := b.explain(1, unix.EINVAL, ""); err != b.err {
		t.Errorf("of a batch that could not be encoded: %v", err)
	}
}
