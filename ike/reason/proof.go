package reason

import "cmp"

// ofProof is words for a proof of identity that one side does not accept. Ours and Theirs are what
// the two sides sent: Theirs.Expects is the identity by which the peer called us.
func (f *Facts) ofProof() string {
	switch f.Cause {
	case Secret:
		return "authentication of " + cmp.Or(short(f.Theirs.ID), "the peer") + " failed: the pre-shared keys differ" + f.called()
	case Certificate:
		return "authentication of " + cmp.Or(short(f.Theirs.ID), "the peer") + " failed: " + f.Why
	case Rejected:
		return f.rejected()
	}
	return f.Why
}

// called says by which names the sides called each other.
func (f *Facts) called() string {
	switch {
	case f.Theirs.Expects != "":
		return "; it called " + short(f.Theirs.Expects) + after(", and we are ", f.otherName())
	case f.Ours.ID != "":
		return "; we are " + short(f.Ours.ID)
	}
	return ""
}

// otherName returns our name, if the peer called us by another one.
func (f *Facts) otherName() string {
	if f.Ours.ID == f.Theirs.Expects {
		return ""
	}
	return short(f.Ours.ID)
}

// rejected is words for a peer that refuses our proof. It tells no more than that.
func (f *Facts) rejected() string {
	text := cmp.Or(f.Why, f.answer())
	mine := "the pre-shared keys differ, or it accepts none"
	if f.Ours.Proof != PSK {
		mine = "it does not accept our " + cmp.Or(f.Ours.Proof, "proof")
	}
	text += ": " + mine + ", or it does not expect " + cmp.Or(short(f.Ours.ID), "our identity")
	if f.Ours.Expects != "" {
		text += ", or is not " + short(f.Ours.Expects)
	}
	return text + "; " + itsLog
}

// Proofs of an Offer.
const (
	PSK  = "pre-shared key"
	Cert = "certificate"
	Key  = "key without a certificate"
)
