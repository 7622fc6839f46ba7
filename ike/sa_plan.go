package ike

import (
	"math"
	"time"

	"culvert/ike/window"
)

// Bounds of plans where they do not only depend on the configuration.
const (
	manyAddressTries = 3 // IKE_SA_INIT to a peer with several addresses, and at first IKE_AUTH
	livenessTries    = 4 // a liveness check, or any request to a peer that may have lost the IKE SA
	// leastCheck is the least duration of a liveness check, however short the DPD interval is.
	leastCheck = 2 * time.Second
	// promptFirst and promptFactor are the pauses of IKE_SA_INIT when the tunnel was lost just now:
	// a peer that restarts is back within a fraction of a second. promptMore retransmissions are
	// added, so that the try is not much shorter than any other.
	promptFirst  = 100 * time.Millisecond
	promptFactor = 1.5
	promptMore   = 6
)

// plan returns how the outstanding request is repeated. The pauses are shorter during shutdown.
func (s *ikeSA) plan() window.RetransmitPlan {
	p := s.planInService()
	if s.e.stopping {
		p.First, p.Factor = shutdownRetry.First, shutdownRetry.Factor
	}
	return p
}

// planInService returns the plan of an engine that is not being shut down.
func (s *ikeSA) planInService() window.RetransmitPlan {
	if s.state == saConnecting {
		return s.planConnecting()
	}
	if s.setup != nil && s.setup.lost {
		return s.configuredPlan().AtMost(livenessTries).Within(hintedCheck)
	}
	if s.hastensAuth() {
		return s.configuredPlan().AtMost(manyAddressTries)
	}
	if s.net.moving() {
		return moveRetry
	}
	probe, ok := s.work.Current().(*informational)
	_, path := s.work.Current().(prober)
	check := path && s.live.silent() || ok && (probe.kind == askAlive || probe.kind == askPort)
	switch plan := s.configuredPlan().AtMost(livenessTries); {
	case s.live.inDoubt(), s.live.Doubted() && s.closesByItself():
		return plan.Within(min(s.checkTime(), s.live.doubt))
	case s.deleteDenied():
		return plan.Within(hintedCheck)
	case s.state == saClosing, s.live.Doubted() && s.state.ending():
		return plan // nothing goes through it any more, and the peer should hear of the end
	case s.live.Doubted(), check:
		return plan.Within(s.checkTime())
	}
	return s.configuredPlan()
}

// planConnecting returns the plan of IKE_SA_INIT.
func (s *ikeSA) planConnecting() window.RetransmitPlan {
	plan := s.configuredPlan()
	if len(s.party.cfg.Remote) > 1 {
		plan = plan.AtMost(manyAddressTries)
	}
	if s.party.try.prompt && plan.First > promptFirst {
		plan.First, plan.Factor = promptFirst, promptFactor
		plan.Tries += promptMore
	}
	if s.setup.obstructed {
		plan = plan.Within(hintedCheck)
	}
	return plan
}

// hastensAuth reports whether IKE_AUTH is given up as soon as IKE_SA_INIT would be: its port may be
// blocked, and another address is left in the round. After a round that failed there is the time of
// the configuration again, as a peer may take long to authenticate us.
func (s *ikeSA) hastensAuth() bool {
	return s.state == saAuthenticating && s.party.try.Fails == 0 && s.party.try.missed+1 < len(s.party.cfg.Remote)
}

// configuredPlan returns the plan that is configured for the peer.
func (s *ikeSA) configuredPlan() window.RetransmitPlan {
	if s.party == nil {
		return s.e.cfg.Retry
	}
	return s.party.cfg.Retransmit.Or(s.e.cfg.Retry)
}

// checkTime returns how long a liveness check may take: no longer than the DPD interval, so that a
// dead peer is found within two of them.
func (s *ikeSA) checkTime() time.Duration {
	if s.party == nil || s.party.cfg.DPD <= 0 {
		return math.MaxInt64
	}
	return max(s.party.cfg.DPD, leastCheck)
}
