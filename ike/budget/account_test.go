package budget

import (
	"testing"
	"time"
)

// spend charges as often as the accounts allow, at most n times.
func spend(now time.Time, party, entry *Account, c Cost, n int) (times int) {
	for times < n && Charge(now, party, entry, c) {
		times++
	}
	return times
}

// TestAccountOfAParty: 256 Child SAs may be rekeyed and deleted twice at once, with a quick key
// exchange, and then there is a rate. A dear key exchange counts as eight.
func TestAccountOfAParty(t *testing.T) {
	for _, c := range []struct {
		name     string
		cost     Cost
		at, then int // at once, and in the second after that
	}{
		{"cheap", Cheap, 5632, 1000},
		{"negotiation", Negotiate, 563, 100},
		{"key exchange", Exchange, 512, 32},
		{"dear key exchange", Dear, 64, 4},
	} {
		var party, entry Account
		if n := spend(start, &party, &entry, c.cost, 1e6); n != c.at {
			t.Errorf("%s: %d at once, want %d", c.name, n, c.at)
		}
		if n := spend(start.Add(time.Second), &party, &entry, c.cost, 1e6); n < c.then-1 || n > c.then+1 {
			t.Errorf("%s: %d in a second, want %d", c.name, n, c.then)
		}
	}
	var party, entry Account
	for range 2 * 256 {
		if !Charge(start, &party, &entry, Exchange) || !Charge(start, &party, &entry, Cheap) {
			t.Fatal("a rekeying of all Child SAs and its deletions are too much")
		}
	}
}

// TestAccountOfAnEntry: many parties of one entry share an account, which another entry does not
// feel; what one of both lacks is taken from neither.
func TestAccountOfAnEntry(t *testing.T) {
	parties := make([]Account, 100)
	var entry, other Account
	total := 0
	for i := range parties {
		total += spend(start, &parties[i], &entry, Negotiate, 1e6)
	}
	if total != 8*5632/10 {
		t.Errorf("%d negotiations of one entry, want %d", total, 8*5632/10)
	}
	last := &parties[99]
	if n := spend(start, last, &other, Negotiate, 1e6); n != 563 {
		t.Errorf("%d of a party that was refused for its entry, want a full account", n)
	}
	if Charge(start, last, &other, Exchange) || !Charge(start, &Account{}, &other, Exchange) {
		t.Error("an empty account affords something, or has emptied its entry's")
	}
}

// TestRatesOfAnEntry: what the parties of one entry may do together at once, and in each second
// then.
func TestRatesOfAnEntry(t *testing.T) {
	for _, c := range []struct {
		name     string
		cost     Cost
		at, then int
	}{
		{"cheap", Cheap, 8 * 5632, 20000},
		{"key exchange", Exchange, 4096, 512},
		{"dear key exchange", Dear, 512, 64},
	} {
		var entry Account
		all := func(now time.Time) (n int) {
			for range 100 {
				n += spend(now, new(Account), &entry, c.cost, 1e6)
			}
			return n
		}
		if n := all(start); n != c.at {
			t.Errorf("%s: %d at once, want %d", c.name, n, c.at)
		}
		if n := all(start.Add(time.Second)); n < c.then-1 || n > c.then {
			t.Errorf("%s: %d in a second, want %d", c.name, n, c.then)
		}
	}
}

func TestLines(t *testing.T) {
	var l Lines
	n := 0
	for ok := true; ok; n++ {
		_, ok = l.Allow(start)
	}
	if n--; n != 1024 {
		t.Errorf("%d lines at once, want 1024", n)
	}
	l.Allow(start)
	if more, ok := l.Allow(start.Add(time.Second / 5)); !ok || more != 2 {
		t.Errorf("got %d, %v after a while, want 2 that were left out", more, ok)
	}
	if more, ok := l.Allow(start.Add(2 * time.Second / 5)); !ok || more != 0 {
		t.Errorf("got %d, %v after another, want none", more, ok)
	}
}
