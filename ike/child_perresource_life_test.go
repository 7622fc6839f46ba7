package ike

import (
	"testing"
	"time"

	"culvert/ike/wire"
)

// The life of Child SAs for single workers (RFC 9611): rekeyings, collisions, deletions, and the
// end of the one for all workers.

// upWithOwn returns a tunnel with traffic in which left's second worker has its own pair, which is
// that of right's first worker.
func upWithOwn(t *testing.T, more func(p *testPair)) *testPair {
	t.Helper()
	p := upWithWorkers(t, 2, 2, more)
	p.addWorker(p.left, 2)
	p.left.trafficBy(2, "lan")
	p.drive(50 * time.Millisecond)
	p.script(false)
	p.allTraffic()
	p.wantSender(p.left, 2, 2)
	p.wantSender(p.right, 1, 1)
	p.script(true)
	return p
}

// allTraffic sends on every pair, without asking for more.
func (p *testPair) allTraffic() {
	for _, s := range []*testSide{p.left, p.right} {
		for worker := 1; worker <= 2; worker++ {
			s.plane.asked[askedFor{s.policy("lan"), worker}] = p.now
			s.trafficBy(worker, "lan")
		}
	}
	p.drive(100 * time.Millisecond)
}

// A rekeyed Child SA stays with its resource, whether or not the rekeying speaks of it (Section 3).
func TestRekeyOfAWorkersChild(t *testing.T) {
	for _, silent := range []bool{false, true} {
		p := upWithOwn(t, nil)
		request, answer := "N(REKEY_SA), SA, Nonce, TSi, TSr, N(SA_RESOURCE_INFO)", "SA, Nonce, TSi, TSr, N(SA_RESOURCE_INFO)"
		if silent { // as some peers do
			p.left.e.cfg.Resources = 1
			request, answer = "N(REKEY_SA), SA, Nonce, TSi, TSr", "SA, Nonce, TSi, TSr"
		}
		old := p.wantSender(p.left, 2, 2)
		p.left.handle(Expire{ID: old.sa.ID})
		p.deliver(p.wantSend("left rekeys its second worker's", p.left, wire.CreateChildSA, false, request))
		p.allTraffic()
		p.deliver(p.wantSend("right agrees", p.right, wire.CreateChildSA, true, answer))
		p.deliver(p.wantSend("left deletes the old one", p.left, wire.Informational, false, "D(ESP x1)"))
		p.deliver(p.wantSend("right deletes its half", p.right, wire.Informational, true, "D(ESP x1)"))
		p.allTraffic()
		if p.wantSender(p.left, 2, 2) == old {
			p.fatalf("the worker sends on the old one")
		}
		p.wantSender(p.right, 1, 1)
		p.drive(lingerPair)
		p.wantPairs("lan", 2)
		p.wantNoLoss()
	}
}

func TestSimultaneousRekeyOfAWorkersChild(t *testing.T) {
	const request, answer = "N(REKEY_SA), SA, Nonce, TSi, TSr, N(SA_RESOURCE_INFO)", "SA, Nonce, TSi, TSr, N(SA_RESOURCE_INFO)"
	p := upWithOwn(t, nil)
	p.left.handle(Expire{ID: p.wantSender(p.left, 2, 2).sa.ID})
	p.right.handle(Expire{ID: p.wantSender(p.right, 1, 1).sa.ID})
	req1, req2 := p.wantSend("left rekeys", p.left, wire.CreateChildSA, false, request), p.wantSend("right rekeys", p.right, wire.CreateChildSA, false, request)
	p.deliver(req2)
	p.deliver(req1)
	p.deliver(p.wantSend("right answers as usual", p.right, wire.CreateChildSA, true, answer))
	p.deliver(p.wantSend("left answers as usual", p.left, wire.CreateChildSA, true, answer))
	p.script(false)
	for _, s := range []*testSide{p.left, p.right} {
		for _, m := range s.out {
			p.arrive(m.pk)
		}
		s.out = nil
	}
	for range 10 {
		p.allTraffic()
		p.drive(time.Second)
	}
	p.wantPairs("lan", 2)
	p.wantSender(p.left, 2, 2)
	p.wantSender(p.right, 1, 1)
	p.wantSender(p.left, 1, 0)
	p.wantNoLoss()
}

// A worker whose Child SA is deleted sends on the one for all, before the peer has removed the
// other, and asks again when it is busy.
func TestDeleteOfAWorkersChild(t *testing.T) {
	p := upWithOwn(t, nil)
	p.right.handle(Expire{ID: p.wantSender(p.right, 1, 1).sa.ID, Hard: true})
	p.wantSender(p.right, 1, 0)
	p.allTraffic()
	del := p.wantSend("right deletes it", p.right, wire.Informational, false, "D(ESP x1)")
	p.left.plane.asked[askedFor{p.left.policy("lan"), 2}] = p.now
	p.left.trafficBy(2, "lan") // on its way when the Delete comes
	p.deliver(del)
	p.deliver(p.wantSend("left deletes its half", p.left, wire.Informational, true, "D(ESP x1)"))
	p.wantNotice(p.left, "resource-down")
	p.wantSender(p.left, 2, 0)
	p.allTraffic()
	p.drive(lingerPair)
	p.wantPairs("lan", 1)
	p.wantNoLoss()
	p.addWorker(p.left, 2)
	p.wantSender(p.left, 2, 2)
}

// Each side decides for itself which Child SA is for all workers: when it ends another one takes
// its place, and the tunnel stays up.
func TestEndOfTheChildThatIsForAll(t *testing.T) {
	p := upWithOwn(t, nil)
	p.left.handle(Expire{ID: p.wantSender(p.left, 1, 0).sa.ID, Hard: true})
	p.deliver(p.wantSend("left deletes the first one", p.left, wire.Informational, false, "D(ESP x1)"))
	p.allTraffic()
	p.deliver(p.wantSend("right deletes its half", p.right, wire.Informational, true, "D(ESP x1)"))
	p.allTraffic()
	for _, s := range []*testSide{p.left, p.right} {
		st := s.e.Status()[0].Children[0]
		if st.State != ChildInstalled || len(st.Resources) > 0 {
			p.fatalf("%s: the child is %+v", s.name, st)
		}
		for _, n := range s.notices {
			if n.Event == "child-down" {
				p.fatalf("%s: %s", s.name, n.Text)
			}
		}
	}
	p.drive(lingerPair)
	p.wantPairs("lan", 1)
	p.script(false)
	ref := p.left.rekey("lan") // and then it is for all workers
	p.drive(time.Second)
	p.wantDone(p.left, ref, "")
	p.wantSender(p.left, 1, 0)
	p.wantSender(p.left, 2, 0)
	p.addWorkerUnscripted(p.left, 2)
	p.wantNoLoss()
}

func (p *testPair) addWorkerUnscripted(s *testSide, worker int) {
	p.t.Helper()
	p.drive(time.Second)
	s.trafficBy(worker, "lan")
	p.drive(time.Second)
	p.wantSender(s, worker, worker)
}

// What is for a worker that has sent and received nothing is not rekeyed, but goes.
func TestIdleWorkersChildIsNotRekeyed(t *testing.T) {
	p := upWithWorkers(t, 2, 2, nil)
	p.script(false)
	p.addWorkerUnscripted(p.left, 2)
	p.addWorkerUnscripted(p.left, 1)
	for range 60 {
		p.drive(time.Minute)
		p.left.trafficBy(1, "lan")
	}
	p.drive(time.Second)
	p.wantPairs("lan", 2)
	p.wantSender(p.left, 1, 1)
	p.wantSender(p.left, 2, 0)
	if n := p.wantNotice(p.left, "resource-down"); n.Child != "lan" {
		p.fatalf("%+v", n)
	}
	p.wantNoLoss()
}

// Rekeying a child, by command, is rekeying all that it sends on.
func TestRekeyCommandWithWorkers(t *testing.T) {
	p := upWithOwn(t, nil)
	before := map[uint32]bool{}
	for spi := range p.left.plane.inbound {
		before[spi] = true
	}
	ref := p.left.rekey("lan")
	p.deliver(p.wantSend("left rekeys the first", p.left, wire.CreateChildSA, false, "N(REKEY_SA), ..."))
	p.deliver(p.wantSend("right agrees", p.right, wire.CreateChildSA, true, "..."))
	if p.left.answered[ref] {
		p.fatalf("the command has ended before the second one is rekeyed")
	}
	p.script(false)
	for _, m := range p.left.out {
		p.arrive(m.pk)
	}
	p.left.out = nil
	p.drive(lingerPair + time.Second)
	p.wantDone(p.left, ref, "")
	p.wantPairs("lan", 2)
	for spi := range p.left.plane.inbound {
		if before[spi] {
			p.fatalf("SPI %08x was not rekeyed", spi)
		}
	}
	if n := p.left.e.pairs.Unanswered(); n > 0 {
		p.fatalf("%d commands are kept", n)
	}
	ref = p.left.rekey("lan")
	p.right.kill()
	p.drive(10 * time.Minute)
	p.wantDone(p.left, ref, "the peer does not answer")
	if n := p.left.e.pairs.Unanswered(); n > 0 {
		p.fatalf("%d commands are kept", n)
	}
}

// A worker's Child SA that ends before a commanded rekeying does not fail the command, because the
// main one takes over its traffic.
func TestRekeyCommandOutlivesAWorkersChild(t *testing.T) {
	p := upWithOwn(t, nil)
	p.script(false)
	ref := p.left.rekey("lan")
	p.right.handle(Expire{ID: p.wantSender(p.right, 1, 1).sa.ID, Hard: true})
	p.drive(time.Minute)
	p.wantDone(p.left, ref, "")
	p.wantPairs("lan", 1)
	p.allTraffic()
	p.wantNoLoss()
}

// A rekeyed IKE SA keeps them. An IKE SA that ends takes all of them along, and the next tunnel
// begins with one.
func TestWorkersChildrenAndTheIKESA(t *testing.T) {
	p := upWithOwn(t, nil)
	p.script(false)
	ref := p.left.rekey("")
	p.drive(time.Second)
	p.wantDone(p.left, ref, "")
	p.allTraffic()
	p.wantPairs("lan", 2)
	p.wantNoLoss()
	p.addWorkerUnscripted(p.left, 1) // on the successor
	ref = p.left.disconnect("lan")
	p.drive(time.Second)
	p.wantDone(p.left, ref, "")
	p.drive(lingerPair)
	p.wantNoChild("lan")
	downs := 0
	for _, n := range p.left.notices {
		if n.Event == "child-down" {
			downs++
		}
	}
	if downs != 1 {
		p.fatalf("left says %d times that the child is down", downs)
	}
	ref = p.left.connect("lan")
	p.drive(2 * time.Second)
	p.wantDone(p.left, ref, "")
	p.wantPairs("lan", 1)
	p.addWorkerUnscripted(p.left, 2)
}

func TestStatusOfWorkersChildren(t *testing.T) {
	p := upWithOwn(t, nil)
	own, all := p.wantSender(p.left, 2, 2), p.wantSender(p.left, 1, 0)
	p.left.plane.asked = map[askedFor]time.Time{}
	p.left.trafficBy(1, "lan")
	p.wantSend("left asks for another", p.left, wire.CreateChildSA, false, furtherRequest)
	st := p.left.e.Status()[0].Children[0]
	if st.ID != all.sa.ID || st.SPIIn != all.sa.SPIIn || len(st.Resources) != 2 {
		p.fatalf("status %+v", st)
	}
	if r := st.Resources[0]; r.Resource != 2 || r.ID != own.sa.ID || r.SPIIn != own.sa.SPIIn || r.SPIOut != own.sa.SPIOut || r.State != ChildInstalled || r.RekeyAt.IsZero() {
		p.fatalf("the second worker's: %+v", r)
	}
	if r := st.Resources[1]; r.Resource != 1 || r.State != ChildNegotiating || r.ID != 0 {
		p.fatalf("the first worker's: %+v", r)
	}
}
