package ike

import (
	"strings"
	"testing"

	"culvert/ike/wire"
)

func TestCompareRekeys(t *testing.T) {
	long := strings.Repeat("\x55", 32)
	for _, c := range []struct {
		what               string
		ourNi, ourNr       string
		theirNi, theirNr   string
		want               rekeyOutcome
		peerIsOfOtherWords bool // an equality that no honest pair reaches
	}{
		{"our Ni lowest", "\x00", "\xff", "\x11", "\x22", keepTheirs, false},
		{"our Nr lowest", "\xff", "\x00", "\x11", "\x22", keepTheirs, false},
		{"their Ni lowest", "\x11", "\x22", "\x00", "\xff", keepOurs, false},
		{"their Nr lowest", "\x11", "\x22", "\xff", "\x00", keepOurs, false},
		{"octets are unsigned", "\x80", "\x81", "\x7f", "\xff", keepOurs, false},
		{"a later octet decides", long + "\x01", long + "\xff", long + "\x02", long + "\xff", keepTheirs, false},
		{"the shorter is lower", long, "\xff", long + "\x00", "\xff", keepTheirs, false},
		{"not as large integers", "\x01\x00\x00", "\xff", "\x02", "\xff", keepTheirs, false},
		{"all equal", long, long, long, long, keepTheirs, true},
	} {
		ours, theirs := noncePair{[]byte(c.ourNi), []byte(c.ourNr)}, noncePair{[]byte(c.theirNi), []byte(c.theirNr)}
		if got := compareRekeys(ours, theirs); got != c.want {
			t.Errorf("%s: got %d, want %d", c.what, got, c.want)
		}
		if peer := compareRekeys(theirs, ours); (peer == c.want) != c.peerIsOfOtherWords {
			t.Errorf("%s: the peer says %d and we %d: they do not keep the same SA", c.what, peer, c.want)
		}
	}
}

// The full table of RFC 7296, Section 2.25. Rows are what we are doing with the IKE SA, columns
// what we are doing with the Child SA that the request names.
//
//	u: as usual, c: as usual and compare, t: TEMPORARY_FAILURE, n: CHILD_SA_NOT_FOUND
//	d: without Delete payload, f: as usual and forget
var collisionTable = map[peerRequest]string{
	//              quiet rekeying replaced closing absent
	askCreateChild: `u u u u u
	                 u u u u u
	                 t t t t t
	                 t t t t t
	                 t t t t t`,
	askRekeyChild: `u c t t n
	                u c t t n
	                t t t t t
	                t t t t t
	                t t t t t`,
	askDeleteChild: `u u u d d
	                 u u u d d
	                 u u u d d
	                 u u u d d
	                 u u u d d`,
	askRekeyIKE: `u u u u u
	              t t t t t
	              c c c c c
	              t t t t t
	              t t t t t`,
	askDeleteIKE: `u u u u u
	               f f f f f
	               f f f f f
	               u u u u u
	               f f f f f`,
}

func TestAnswerTo(t *testing.T) {
	letters := map[answer]string{
		answerUsual: "u", answerAndCompare: "c", answerTemporary: "t", answerNotFound: "n", answerWithoutDelete: "d", answerAndForget: "f",
	}
	for ask, table := range collisionTable {
		cells := strings.Fields(table)
		if len(cells) != 25 {
			t.Fatalf("request %d: the table has %d cells", ask, len(cells))
		}
		for i := ikeQuiet; i <= ikeClosing; i++ {
			for c := childQuiet; c <= childAbsent; c++ {
				want := cells[int(i)*5+int(c)]
				if got := letters[answerTo(ask, i, c)]; got != want {
					t.Errorf("request %d, IKE SA %d, Child SA %d: got %s, want %s", ask, i, c, got, want)
				}
			}
		}
	}
}

func TestReactTo(t *testing.T) {
	for _, c := range []struct {
		what      string
		refusal   wire.NotifyType
		overtaken bool
		tries     int
		pressing  bool
		want      reaction
	}{
		{"busy", wire.TemporaryFailure, false, 1, false, reactWait},
		{"busy for long", wire.TemporaryFailure, false, temporaryTries, false, reactWait},
		{"busy for minutes", wire.TemporaryFailure, false, temporaryTries + 1, false, reactReplaceIKE},
		{"busy at the end", wire.TemporaryFailure, false, 1, true, reactWait},
		{"busy at the end, again", wire.TemporaryFailure, false, 2, true, reactReplaceIKE},
		{"busy with the same", wire.TemporaryFailure, true, 1, false, reactForget},
		{"gone", wire.ChildSANotFound, false, 1, false, reactRecreate},
		{"gone, as the peer rekeyed it first", wire.ChildSANotFound, true, 1, false, reactForget},
		{"no proposal", wire.NoProposalChosen, false, 1, false, reactFail},
		{"no more SAs", wire.NoAdditionalSAs, false, 1, true, reactFail},
		{"unknown error", 8191, true, 1, false, reactFail},
	} {
		if got := reactTo(c.refusal, c.overtaken, c.tries, c.pressing); got != c.want {
			t.Errorf("%s: got %d, want %d", c.what, got, c.want)
		}
	}
}
