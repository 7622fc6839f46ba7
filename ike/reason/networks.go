package reason

import (
	"fmt"

	"culvert/selector"
)

// maxWork bounds the comparisons of networks for one Trouble.
const maxWork = 1 << 14

// ofNetworks is words for networks that do not meet.
func (f *Facts) ofNetworks() string {
	if f.Answer != 0 {
		where := "it grants none of our networks"
		if f.Rekey {
			where = "it does not grant the networks of the Child SA that is there any more"
		}
		return f.answer() + ": " + where + "; " + itsLog + " it has"
	}
	if f.Why != "" {
		return f.Why
	}
	return "networks do not meet: " + f.apart()
}

// apart names the first network of the peer's request that has no partner.
func (f *Facts) apart() string {
	ours, theirs, w := f.Ours, f.Theirs, selector.NewWork(maxWork)
	switch {
	case len(theirs.Remote) > 0 && !selector.Prepare(theirs.Remote).Overlaps(ours.Remote, w) && w.Left():
		return fmt.Sprintf("the peer's %s has no partner in our remote %s", theirs.Remote[0], List(ours.Remote))
	case len(theirs.Local) > 0 && !selector.Prepare(theirs.Local).Overlaps(ours.Local, w) && w.Left():
		return fmt.Sprintf("our side's %s, which the peer asks for, has no partner in our local %s", theirs.Local[0], List(ours.Local))
	case len(theirs.Local) == 0 || len(theirs.Remote) == 0:
		return "the peer proposes none that can be read"
	}
	return "the peer asks for no pair of networks that we have"
}

// ofGrant is words for a Child SA that carries less than was asked for.
func (f *Facts) ofGrant() string {
	return fmt.Sprintf("the peer granted %s of %s%s%s", between(f.Theirs), between(f.Ours), after(", without ", f.missing()), after("; ", f.Why))
}

// missing names the first network of which nothing was granted, or "".
func (f *Facts) missing() string {
	w := selector.NewWork(maxWork)
	for _, side := range []struct {
		name         string
		ours, theirs []selector.Selector
	}{{"local ", f.Ours.Local, f.Theirs.Local}, {"remote ", f.Ours.Remote, f.Theirs.Remote}} {
		for _, s := range side.ours {
			if !selector.Prepare([]selector.Selector{s}).Overlaps(side.theirs, w) && w.Left() {
				return side.name + s.String()
			}
		}
	}
	return ""
}

func between(o Offer) string { return List(o.Local) + " with " + List(o.Remote) }
