package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"time"

	"culvert/internal/netlab"
)

// A run is the state of Run.
type run struct {
	settings Settings
	subjects []Subject
	tests    []kind
	cores    []int     // numbers of them; 0: all
	out      io.Writer // progress
	pace     *pace
	doc      *Document
}

// Run measures the subjects that the settings choose. In each round it starts all subjects and then
// makes each test with one after another, so that compared figures are measured within seconds of
// each other. The order rotates by one in each round. A subject that is absent or fails is recorded
// as such, and the others continue. Progress is written to out.
//
// When ctx ends, Run stops everything that it has started and returns the results so far with the
// context's error.
func Run(ctx context.Context, s Settings, candidates []Subject, out io.Writer) (*Document, error) {
	tests, err := s.chosen()
	if err != nil {
		return nil, err
	}
	if err := netlab.Available(); err != nil {
		return nil, err
	}
	cores, err := s.Layout.cores(runtime.NumCPU())
	if err != nil {
		return nil, err
	}
	doc := &Document{Schema: SchemaVersion, Date: time.Now().UTC().Truncate(time.Second), Rounds: s.Rounds, Seconds: s.Time.Seconds(), Layout: s.Layout.String()}
	if doc.Machine, err = thisMachine(); err != nil {
		return nil, err
	}
	r := &run{settings: s, tests: tests, cores: cores, out: out, pace: newPace(), doc: doc}
	if err := r.choose(ctx, candidates); err != nil {
		return nil, err
	}
	r.plan()
	for round := range s.Rounds {
		for _, n := range cores {
			if err := r.confined(ctx, round, n); err != nil {
				return nil, err
			}
		}
	}
	doc.Interrupted = ctx.Err() != nil
	doc.Summaries = Summarize(doc.Measurements, Rival, Floor)
	return doc, ctx.Err()
}

// choose sorts the candidates into subjects and absent ones.
func (r *run) choose(ctx context.Context, candidates []Subject) error {
	for _, s := range candidates {
		if !r.settings.wants(s.Name()) {
			continue
		}
		version, err := s.Version(ctx)
		if _, many := s.(Multiplier); err == nil && !many && r.settings.Layout.peers() > 1 {
			err = errors.New("it makes one tunnel only here")
		}
		if err != nil {
			r.doc.Absent = append(r.doc.Absent, Absent{s.Name(), err.Error()})
			fmt.Fprintf(r.out, "%s is not measured: %v\n", s.Name(), err)
			continue
		}
		r.doc.Subjects = append(r.doc.Subjects, Present{s.Name(), version})
		r.subjects = append(r.subjects, s)
	}
	if len(r.subjects) == 0 {
		return errors.New("no subject can be measured: see -only, and what is not installed above")
	}
	return nil
}

const starting = "start"

func (r *run) plan() {
	n := len(r.subjects) * r.settings.Rounds * len(r.cores)
	r.pace.plan(starting, n, time.Second)
	for _, t := range r.tests {
		r.pace.plan(t.name, n, t.expect(r.settings.Time))
	}
	fmt.Fprintf(r.out, "%d subjects, %d tests, %d rounds: about %s; an interrupt ends it and shows the results so far\n",
		len(r.subjects), len(r.tests), r.settings.Rounds, about(r.pace.left()))
}

// about returns a duration rounded for people: seconds below two minutes, then minutes.
func about(d time.Duration) string {
	if d < 2*time.Minute {
		return fmt.Sprintf("%d s", int(d.Round(time.Second).Seconds()))
	}
	return fmt.Sprintf("%d min", int(d.Round(time.Minute).Minutes()))
}

// confined makes a round with a number of cores, unless the context has ended. It returns an error
// if the cores cannot be restricted.
func (r *run) confined(ctx context.Context, round, cores int) error {
	if ctx.Err() != nil {
		return nil
	}
	restore, err := confine(cores)
	if err != nil {
		return err
	}
	r.round(ctx, round, cores)
	return restore()
}

// round starts every subject, makes every test with each, and stops them.
func (r *run) round(ctx context.Context, round, cores int) {
	var up []*joined
	defer func() {
		for _, j := range up {
			j.close()
		}
	}()
	for i := range r.subjects {
		s := r.subjects[(i+round)%len(r.subjects)]
		begun := time.Now()
		j, err := join(ctx, s, r.settings.Layout)
		r.pace.did(starting, time.Since(begun))
		if ctx.Err() != nil {
			if j != nil {
				j.close()
			}
			return
		}
		if err != nil {
			r.failed(Failure{s.Name(), round, "", err.Error()})
			continue
		}
		j.cores = cores
		up = append(up, j)
	}
	for _, t := range r.tests {
		for _, j := range up {
			begun := time.Now()
			values, err := measures[t.name](ctx, j, r.settings.Time)
			r.pace.did(t.name, time.Since(begun))
			if ctx.Err() != nil {
				return
			}
			r.record(j, round, t.name, values, err)
		}
	}
	for _, j := range up {
		peak, err := j.peakMemory()
		values := map[Metric]float64{FirstPacket: j.first.Seconds() * 1000, PeakMemory: peak}
		if j.Peers > 1 {
			values[AllTunnels] = j.all.Seconds() * 1000
		}
		r.record(j, round, footprint, j.values(values), err)
	}
}

// record adds a measurement or a failure to the document and to the progress.
func (r *run) record(j *joined, round int, test string, values map[string]float64, err error) {
	if err = errors.Join(err, j.alive()); err != nil {
		r.failed(Failure{j.name, round, test, withOutput(err, j.procs).Error()})
		return
	}
	m := Measurement{Test: test, Subject: j.name, Round: round, Cores: j.cores, Values: values}
	r.doc.Measurements = append(r.doc.Measurements, m)
	fmt.Fprintf(r.out, "round %d/%d, %s left: %s\n", round+1, r.settings.Rounds, about(r.pace.left()), m)
}

func (r *run) failed(f Failure) {
	r.doc.Failures = append(r.doc.Failures, f)
	fmt.Fprintf(r.out, "round %d/%d: FAILED: %s: %s\n", f.Round+1, r.settings.Rounds, strings.TrimSpace(f.Subject+" "+f.Test), f.Error)
}
