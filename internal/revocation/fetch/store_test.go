package fetch

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// loads returns a load that counts, and returns what is set.
type loads struct {
	n   int
	it  item
	err error
}

func (l *loads) load() (item, error) {
	l.n++
	return l.it, l.err
}

func TestStoreRefreshes(t *testing.T) {
	s, l := newStore(), &loads{}
	failed := errors.New("failed")
	for i, c := range []struct {
		at    time.Duration // of the question
		until time.Duration // of what is fetched
		err   error         // of the fetch
		want  string
		n     int // fetches until then
	}{
		{0, 3 * time.Hour, nil, "0", 1},
		{refresh - 1, 3 * time.Hour, nil, "0", 1},
		{refresh, 3 * time.Hour, failed, "0", 2},          // old, and still valid
		{refresh + pause - 1, 3 * time.Hour, nil, "0", 2}, // not tried again
		{refresh + pause, 3 * time.Hour, failed, "0", 3},  // tried again
		{3 * time.Hour, 0, failed, "failed", 4},           // no longer valid
		{3*time.Hour + pause - 1, 0, nil, "failed", 4},    // nobody waits
		{3*time.Hour + pause, 3 * time.Hour, nil, "7", 5}, // out of date from the start
		{3*time.Hour + 2*pause - 1, 0, nil, "7", 5},       // and not fetched at once
		{3*time.Hour + 2*pause, 9 * time.Hour, nil, "9", 6},
	} {
		l.it, l.err = item{value: fmt.Sprint(i), size: 1, until: now.Add(c.until)}, c.err
		v, _, err := s.get(t.Context(), "k", now.Add(c.at), l.load)
		got := fmt.Sprint(v)
		if err != nil {
			got = err.Error()
		}
		if got != c.want || l.n != c.n {
			t.Errorf("%d: %s after %d fetches, want %s after %d", i, got, l.n, c.want, c.n)
		}
	}
}

// What does not fit goes, that which was not used for longest first.
func TestStoreIsBounded(t *testing.T) {
	s := newStore()
	put := func(key string, size int) (fetched bool) {
		_, _, err := s.get(t.Context(), key, now, func() (item, error) {
			fetched = true
			return item{value: key, size: size, until: now.Add(time.Hour)}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if len(s.entries) > maxItems || s.octets > maxOctets || len(s.entries) != s.order.Len() {
			t.Fatalf("%d entries, %d octets", len(s.entries), s.octets)
		}
		return fetched
	}
	for _, c := range []struct {
		key     string
		size    int
		fetched bool
	}{
		{"a", maxOctets / 2, true}, {"b", maxOctets / 4, true}, {"a", 0, false}, {"c", maxOctets / 2, true},
		{"b", 1, true}, {"c", 0, false}, {"d", 2 * maxOctets, true}, {"c", 1, true},
	} {
		if got := put(c.key, c.size); got != c.fetched {
			t.Errorf("%s: fetched %v, want %v", c.key, got, c.fetched)
		}
	}
	for i := range maxItems + 10 {
		put(fmt.Sprint("k", i), 1)
	}
	if s.octets > 7*maxItems {
		t.Errorf("%d octets", s.octets)
	}
}

// All who ask at a time wait for one fetch, which goes on without them. A panic in it is an error.
func TestStoreFetchesOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, n := newStore(), 0
		load := func() (item, error) {
			n++
			time.Sleep(time.Minute)
			return item{value: "v", until: now.Add(time.Hour)}, nil
		}
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, _, err := s.get(short, "k", now, load); err != errTime {
			t.Errorf("%v", err)
		}
		for range 3 {
			go func() {
				if v, _, err := s.get(t.Context(), "k", now, load); v != "v" || err != nil {
					t.Errorf("%v, %v", v, err)
				}
			}()
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if n != 1 || s.flights != 0 {
			t.Errorf("%d fetches, %d under way", n, s.flights)
		}
		if _, _, err := s.get(t.Context(), "p", now, func() (item, error) { panic("x") }); err == nil || err.Error() != "internal error: x" {
			t.Errorf("%v", err)
		}
	})
}

func TestStoreBoundsFlights(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		slow := func() (item, error) { time.Sleep(time.Minute); return item{until: now.Add(time.Hour)}, nil }
		for i := range maxFlights {
			go s.get(t.Context(), fmt.Sprint(i), now, slow)
		}
		synctest.Wait()
		if _, _, err := s.get(t.Context(), "more", now, slow); err == nil || err.Error() != "too many fetches are under way" {
			t.Errorf("%v", err)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if _, _, err := s.get(t.Context(), "more", now, slow); err != nil {
			t.Errorf("%v", err)
		}
	})
}
