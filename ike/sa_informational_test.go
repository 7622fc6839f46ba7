package ike

import (
	"testing"
	"time"
)

func TestReasonAfterRejectionByInitiator(t *testing.T) {
	p := newPair(t, 3, func(p *testPair) {
		p.left.peers[0].RemoteID.Data = "other.example.com"
		p.right.peers[0].LocalID.Data = "right.example.com"
	})
	p.left.connect("")
	p.drive(time.Second)
	p.wantReason(p.left, "other.example.com")
	if st := p.left.e.Status()[0]; len(st.Explain) == 0 {
		t.Errorf("nothing explains %q", st.Reason)
	}
	p.wantReason(p.right, "AUTHENTICATION_FAILED")
}
