package guard

import (
	"maps"
	"testing"
)

// The names of counters tell what they count. Those of others are left alone.
func TestCounterNames(t *testing.T) {
	var c counts
	for i, name := range []string{counterOut, counterIn, counterICMP, "out peer/a", "in peer/a", "in peer/b c", "sideways peer/a", "peer/a", ""} {
		c.add(name, uint64(i+1))
	}
	if c.Stats != (Stats{Out: 1, In: 2, ICMP: 3}) {
		t.Errorf("the sums are %+v", c.Stats)
	}
	if want := map[string]Drops{"peer/a": {Out: 4, In: 5}, "peer/b c": {In: 6}}; !maps.Equal(c.byPolicy, want) {
		t.Errorf("of policies there are %v, want %v", c.byPolicy, want)
	}
	for i := range ways {
		w := &ways[i]
		if way, policy, ok := parsePolicyCounter(policyCounter(w, "peer/a")); way != w.name || policy != "peer/a" || !ok {
			t.Errorf("the counter of %s is of %s, %s, %v", w.name, way, policy, ok)
		}
	}
}

// While two tables stand, each counter is at least what either has counted.
func TestGreaterOfTwoTables(t *testing.T) {
	a := counts{Stats: Stats{Out: 5, In: 1, ICMP: 7}, byPolicy: map[string]Drops{"x": {Out: 3, In: 1}, "y": {In: 9}}}
	b := counts{Stats: Stats{Out: 2, In: 4, Repairs: 1}, byPolicy: map[string]Drops{"x": {Out: 1, In: 6}, "z": {Out: 2}}}
	for _, got := range []counts{a.max(b), b.max(a)} {
		if got.Stats != (Stats{Out: 5, In: 4, ICMP: 7, Repairs: 1}) {
			t.Errorf("the sums are %+v", got.Stats)
		}
		if want := map[string]Drops{"x": {Out: 3, In: 6}, "y": {In: 9}, "z": {Out: 2}}; !maps.Equal(got.byPolicy, want) {
			t.Errorf("of policies there are %v, want %v", got.byPolicy, want)
		}
	}
	if len(a.byPolicy) != 2 || a.byPolicy["x"] != (Drops{Out: 3, In: 1}) {
		t.Errorf("the first has become %v", a.byPolicy)
	}
}

// Counters of the kernel: of both tables the greater, zero without a table, and the last values
// when the table is gone.
func TestCountersOfTheKernel(t *testing.T) {
	s := newSite(t)
	of := func() (c counts) {
		t.Helper()
		err := s.gw.Do(func() error {
			k, err := openSocket()
			if err != nil {
				return err
			}
			defer k.close()
			c, err = k.countersOf(deviceName)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	if c := of(); c.Stats != (Stats{}) || len(c.byPolicy) > 0 {
		t.Errorf("without a table there is %+v", c)
	}
	g := openIn(t, s.gw, testConfig(), both())
	s.leave(t, [2]string{"10.1.0.1", "10.2.0.1"}, [2]string{"fd01::1", "fd02::1"})
	for _, name := range tableNames(deviceName) {
		if name != g.tableNow() { // as if the other one were on its way out
			nft(t, s.gw, `add table inet `+name+`; add counter inet `+name+` out { packets 1 bytes 0; }; add counter inet `+name+` in { packets 9 bytes 0; }`)
		}
	}
	if c := of(); c.Out != 2 || c.In != 9 {
		t.Errorf("of two tables there is %+v", c)
	}
	nft(t, s.gw, "flush ruleset")
	if st := g.Stats(); st.Out != 2 { // whether or not it is put back already
		t.Errorf("after the end of the table there is %+v", st)
	}
}

// Counters of other tables are not a guard's, whatever their names.
func TestCountersOfOneTable(t *testing.T) {
	socketIn(t, func(s *socket) {
		for _, tt := range []struct {
			table string
			out   uint64
		}{{"before", 9}, {"culvert-x", 5}, {"behind", 7}} {
			b := newBatch(tt.table)
			b.addTable()
			b.addCounter(counterOut, tt.out)
			if err := s.commit(b); err != nil {
				t.Fatal(err)
			}
		}
		if c, err := s.counters("culvert-x"); err != nil || c.Out != 5 {
			t.Errorf("got %+v, %v", c, err)
		}
		if c, err := s.counters("none"); err != nil || c.Out != 0 {
			t.Errorf("of a table that is not there: %+v, %v", c, err)
		}
	})
}
