package bench

import (
	"testing"
	"time"
)

// sample returns a run of three subjects in which the machine slows down from round to round and
// the ratios stay the same.
func sample() *Document {
	d := &Document{Schema: SchemaVersion, Date: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC),
		Machine: Machine{CPU: "a <fast> & small CPU", Flags: []string{"aes"}, Cores: 2, MemoryMiB: 1024, Kernel: "6.1", Arch: "amd64", Go: "go1.26"},
		Rounds:  3, Seconds: 2, Subjects: []Present{{Rival, "1"}, {"culvert, UDP", "2"}}, Absent: []Absent{{"strongSwan", "not installed"}}, Failures: []Failure{{"OpenVPN", 1, tcp1, "it ended"}}}
	for round, slow := range []float64{1, 2, 10} {
		for i, subject := range []string{Rival, "culvert, UDP", "plain link"} {
			faster := float64(int(1) << i)
			v := map[string]float64{Throughput.Key: 4 / slow * faster, MachineCPU.Key: 4 * slow / faster}
			if subject != "plain link" {
				v[VPNCPU.Key] = 2 * slow / faster
			}
			d.Measurements = append(d.Measurements, Measurement{Test: tcp1, Subject: subject, Round: round, Values: v},
				Measurement{Test: loaded, Subject: subject, Round: round, Values: map[string]float64{P50.Key: 100 * slow, P99.Key: 200 * slow, Loss.Key: 0}})
		}
	}
	d.Summaries = Summarize(d.Measurements, Rival, Floor)
	return d
}

func find(t *testing.T, sums []Summary, test, subject string) Summary {
	t.Helper()
	for _, s := range sums {
		if s.Test == test && s.Subject == subject {
			return s
		}
	}
	t.Fatalf("no summary of %s, %s among %d", test, subject, len(sums))
	return Summary{}
}

func TestSummarizeTakesRatiosRoundByRound(t *testing.T) {
	sums := sample().Summaries
	ours := find(t, sums, tcp1, "culvert, UDP")
	if g := ours.Values[Throughput.Key]; g != (Stat{4, 0.8, 8, 3}) {
		t.Errorf("throughput %+v, want the median 4 of 0.8 to 8", g)
	}
	for key, want := range map[string]Stat{Throughput.Key: {2, 2, 2, 3}, VPNCPU.Key: {0.5, 0.5, 0.5, 3}} {
		if got := ours.Ratios[Rival][key]; got != want {
			t.Errorf("%s: ratio %+v, want %+v", key, got, want)
		}
	}
	if r, ok := ours.Ratios[Floor]; ok {
		t.Errorf("ratios %+v to what was not measured", r)
	}
	if sums[0].Test != tcp1 || sums[len(sums)-1].Test != loaded || len(sums) != 6 {
		t.Errorf("%d summaries, from %q to %q", len(sums), sums[0].Test, sums[len(sums)-1].Test)
	}
}

func TestSummarizeWithMissingRounds(t *testing.T) {
	m := func(subject string, round int, v float64) Measurement {
		return Measurement{Test: tcp1, Subject: subject, Round: round, Values: map[string]float64{Throughput.Key: v}}
	}
	s := find(t, Summarize([]Measurement{m(Rival, 0, 1), m(Rival, 2, 4), m("x", 1, 5), m("x", 2, 8)}, Rival), tcp1, "x")
	if v, r := s.Values[Throughput.Key], s.Ratios[Rival][Throughput.Key]; v != (Stat{6.5, 5, 8, 2}) || r != (Stat{2, 2, 2, 1}) {
		t.Errorf("got %+v and the ratio %+v: only round 2 has both", v, r)
	}
}

func TestStatOfAnEvenNumber(t *testing.T) {
	if s := stat([]float64{4, 1, 3, 2}); s != (Stat{2.5, 1, 4, 4}) {
		t.Errorf("got %+v", s)
	}
	if s := stat(nil); s != (Stat{}) {
		t.Errorf("got %+v", s)
	}
}

func TestPercentile(t *testing.T) {
	hundred := make([]time.Duration, 100)
	for i := range hundred {
		hundred[i] = time.Duration(i + 1)
	}
	for _, tt := range []struct {
		v    []time.Duration
		p    float64
		want time.Duration
	}{
		{hundred, 0.5, 50}, {hundred, 0.99, 99}, {hundred, 0.991, 100}, {hundred, 1, 100}, {hundred, 0, 1},
		{hundred[:1], 0.99, 1}, {hundred[:2], 0.5, 1}, {hundred[:3], 0.5, 2}, {nil, 0.5, 0},
	} {
		if got := percentile(tt.v, tt.p); got != tt.want {
			t.Errorf("percentile %v of %d: got %d, want %d", tt.p, len(tt.v), got, tt.want)
		}
	}
}
