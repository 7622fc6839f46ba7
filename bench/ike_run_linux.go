package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"culvert/ike"
	"culvert/internal/netlab"
)

// IKEMain measures the handshakes of the subjects, interleaved: each test of a round is made with
// one after another. It writes the results to out and progress to progress, as Main does.
func IKEMain(ctx context.Context, s IKESettings, candidates []IKESubject, out, progress io.Writer) error {
	r, err := newIKERun(ctx, s, candidates, progress)
	if err != nil {
		return err
	}
	for round := range s.Rounds {
		for i := range r.kinds {
			for n := range r.subjects {
				if ctx.Err() == nil {
					r.one(ctx, round, r.kinds[i], r.subjects[(n+round)%len(r.subjects)])
				}
			}
		}
	}
	r.doc.Interrupted = ctx.Err() != nil
	r.doc.Summaries = Summarize(r.doc.Measurements, IKERival)
	if len(r.doc.Measurements) == 0 && ctx.Err() != nil {
		return ctx.Err()
	}
	fmt.Fprintln(progress)
	err = errors.Join(ctx.Err(), r.doc.Text(out), r.doc.Save(s.JSON, ""))
	if n := len(r.doc.Failures); n > 0 {
		err = errors.Join(err, fmt.Errorf("%d measurements failed", n))
	}
	return err
}

// An ikeRun is the state of IKEMain.
type ikeRun struct {
	settings IKESettings
	subjects []IKESubject
	kinds    []ikeKind
	pki      map[string]*ikePKI
	doc      *Document
	progress io.Writer
}

func newIKERun(ctx context.Context, s IKESettings, candidates []IKESubject, progress io.Writer) (*ikeRun, error) {
	kinds, err := s.chosen()
	if err == nil {
		err = netlab.Available()
	}
	if err != nil {
		return nil, err
	}
	if s.Hold > 0 {
		kinds = []ikeKind{{name: ikeHeld, auth: ikeAuths[0]}}
	}
	r := &ikeRun{settings: s, kinds: kinds, pki: map[string]*ikePKI{}, progress: progress}
	r.doc = &Document{Schema: SchemaVersion, Date: time.Now().UTC().Truncate(time.Second), Rounds: s.Rounds, Seconds: s.Time.Seconds(), Layout: fmt.Sprintf("%s and %s; %d clients; up to %d handshakes at a time", ikeProposal, espProposal, max(s.Clients, s.Hold), inFlight)}
	if r.doc.Machine, err = thisMachine(); err != nil {
		return nil, err
	}
	for _, k := range kinds {
		if r.pki[k.auth.name], err = k.auth.newPKI(); err != nil {
			return nil, err
		}
	}
	for _, c := range candidates {
		version, err := c.Version(ctx)
		if err != nil {
			r.doc.Absent = append(r.doc.Absent, Absent{c.Name(), err.Error()})
			fmt.Fprintf(progress, "%s is not measured: %v\n", c.Name(), err)
			continue
		}
		r.doc.Subjects = append(r.doc.Subjects, Present{c.Name(), version})
		r.subjects = append(r.subjects, c)
	}
	return r, nil
}

// one makes a test with a subject and records what comes of it.
func (r *ikeRun) one(ctx context.Context, round int, k ikeKind, of IKESubject) {
	values, err := r.measure(ctx, k, of)
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		r.doc.Failures = append(r.doc.Failures, Failure{of.Name(), round, k.name, err.Error()})
		fmt.Fprintf(r.progress, "round %d/%d: FAILED: %s, %s: %v\n", round+1, r.settings.Rounds, of.Name(), k.name, err)
		return
	}
	m := Measurement{Test: k.name, Subject: of.Name(), Round: round, Values: map[string]float64{}}
	for metric, v := range values {
		m.Values[metric.Key] = v
	}
	r.doc.Measurements = append(r.doc.Measurements, m)
	fmt.Fprintf(r.progress, "round %d/%d: %s\n", round+1, r.settings.Rounds, m)
}

// mostOfOne bounds how long an IKE SA may take to come up among many, on a busy machine.
const mostOfOne = 50 * time.Millisecond

func (r *ikeRun) measure(ctx context.Context, k ikeKind, of IKESubject) (map[Metric]float64, error) {
	clients := max(r.settings.Clients, r.settings.Hold)
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second+2*r.settings.Time+time.Duration(clients)*mostOfOne)
	defer cancel()
	s, err := newIKESite(r.pki[k.auth.name], clients)
	if err != nil {
		return nil, err
	}
	defer s.close()
	if k.initiator {
		return s.asInitiator(ctx, of)
	}
	p, err := of.server(ctx, s)
	if err != nil {
		return nil, err
	}
	peers, err := ikePeers(s.pki, clients)
	if err != nil {
		return nil, err
	}
	load, err := startIKELoad(s.hosts[0], ikeAddrs[0], peers)
	if err != nil {
		return nil, err
	}
	defer load.close()
	if r.settings.Hold > 0 {
		values, err := load.holds(ctx, p)
		return values, outputOf(err, p)
	}
	if _, _, err := load.handshakes(ctx, r.settings.Time/10); err != nil { // what only the first ones cost
		return nil, outputOf(err, p)
	}
	values, err := load.responder(ctx, p, r.settings.Time)
	return values, outputOf(err, p)
}

// outputOf adds the last lines of the subject's output to an error, if there is one.
func outputOf(err error, p *netlab.Process) error {
	if err == nil {
		return nil
	}
	return withOutput(err, []*netlab.Process{p})
}

// responder measures handshakes with the subject for the time.
func (l *ikeLoad) responder(ctx context.Context, p *netlab.Process, d time.Duration) (map[Metric]float64, error) {
	before, err := p.CPU()
	if err != nil {
		return nil, err
	}
	took, inTime, err := l.handshakes(ctx, d)
	if err != nil {
		return nil, err
	}
	after, err := p.CPU()
	if err == nil && inTime == 0 {
		err = errors.New("no handshake was completed in time")
	}
	if err != nil {
		return nil, err
	}
	n := float64(len(took))
	return map[Metric]float64{
		HandshakeRate: float64(inTime) / d.Seconds(), HandshakeCPU: (after - before).Seconds() / n * 1000,
		HandshakeP50: percentile(sortedCopy(took), 0.5).Seconds() * 1000,
	}, nil
}

// holds brings all clients up, and measures what they take of the subject.
func (l *ikeLoad) holds(ctx context.Context, p *netlab.Process) (map[Metric]float64, error) {
	memory, e1 := p.Memory()
	cpu, e2 := p.CPU()
	begun := time.Now()
	if err := errors.Join(e1, e2, l.hold(ctx)); err != nil {
		return nil, err
	}
	took := time.Since(begun)
	held, e1 := p.Memory()
	used, e2 := p.CPU()
	n := float64(l.clients)
	return map[Metric]float64{
		UpTime: took.Seconds(), HandshakeCPU: (used - cpu).Seconds() / n * 1000, MemoryPerSA: float64(held-memory) / 1024 / n,
	}, errors.Join(e1, e2)
}

// asInitiator measures how the subject brings all clients up.
func (s *ikeSite) asInitiator(ctx context.Context, of IKESubject) (map[Metric]float64, error) {
	peer, err := ikePeer(s.pki, true, 0)
	if err != nil {
		return nil, err
	}
	load, err := startIKELoad(s.hosts[1], ikeAddrs[1], []ike.Peer{peer})
	if err != nil {
		return nil, err
	}
	defer load.close()
	p, initiate, err := of.client(ctx, s)
	if err != nil {
		return nil, err
	}
	before, err := p.CPU()
	if err != nil {
		return nil, err
	}
	begun := time.Now()
	if err := initiate(); err != nil {
		return nil, outputOf(err, p)
	}
	if err := netlab.Until(ctx, "all clients", func() bool { return load.plane.installed.Load() >= int64(s.clients) }); err != nil {
		return nil, outputOf(fmt.Errorf("%d of %d came up: %w", load.plane.installed.Load(), s.clients, err), p)
	}
	took := time.Since(begun)
	after, err := p.CPU()
	n := float64(s.clients)
	return map[Metric]float64{HandshakeRate: n / took.Seconds(), HandshakeCPU: (after - before).Seconds() / n * 1000}, err
}
