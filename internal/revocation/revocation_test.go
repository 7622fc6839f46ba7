package revocation

import (
	"testing"
	"time"
)

func TestAnswerInWords(t *testing.T) {
	for want, a := range map[string]Answer{
		"is not revoked":                                       {Status: Good},
		"is unknown to its issuer":                             {},
		"was revoked at 2026-05-04T12:00:00Z":                  {Status: Revoked, Since: now},
		"was revoked at 2026-05-04T12:00:00Z (key compromise)": {Status: Revoked, Since: now, Reason: 1},
	} {
		if got := a.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// Answers are valid between their times, give or take Skew. A revocation outlives them.
func TestAnswersInTime(t *testing.T) {
	since, until := now.Add(-time.Hour), now.Add(time.Hour)
	for _, c := range []struct {
		status Status
		reason int
		at     time.Time
		want   string
	}{
		{Good, 0, now, ""},
		{Good, 0, since.Add(-Skew), ""},
		{Good, 0, until.Add(Skew), ""},
		{Good, 0, since.Add(-Skew - 1), "is not valid before 2026-05-04T11:00:00Z"},
		{Good, 0, until.Add(Skew + 1), "is out of date since 2026-05-04T13:00:00Z"},
		{Unknown, 0, until.Add(Skew + 1), "is out of date since 2026-05-04T13:00:00Z"},
		{Revoked, 0, since.Add(-Skew - 1), "is not valid before 2026-05-04T11:00:00Z"},
		{Revoked, 1, until.Add(time.Hour), ""},
		{Revoked, onHold, until, ""},
		{Revoked, onHold, until.Add(time.Hour), "is out of date since 2026-05-04T13:00:00Z"},
	} {
		got, err := Answer{Status: c.status, Reason: c.reason, Until: until}.inTime(since, c.at)
		want := c.status
		if c.want != "" {
			want = Unknown
		}
		wantAnswer(t, got, err, want, c.want)
	}
}
