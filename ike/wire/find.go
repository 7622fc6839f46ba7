package wire

// Find returns the first payload of type P.
func Find[P Payload](ps []Payload) (p P, ok bool) {
	for _, q := range ps {
		if p, ok = q.(P); ok {
			return p, true
		}
	}
	return p, false
}

// FindNotify returns the first notify of the given kind.
func FindNotify(ps []Payload, kind NotifyType) (*Notify, bool) {
	for _, q := range ps {
		if n, ok := q.(*Notify); ok && n.Kind == kind {
			return n, true
		}
	}
	return nil, false
}

// FindError returns the first notify that reports an error.
func FindError(ps []Payload) (*Notify, bool) {
	for _, q := range ps {
		if n, ok := q.(*Notify); ok && n.Kind.IsError() {
			return n, true
		}
	}
	return nil, false
}

// FindTS returns the first TSr if responder is set, the first TSi otherwise.
func FindTS(ps []Payload, responder bool) (*TS, bool) {
	for _, q := range ps {
		if ts, ok := q.(*TS); ok && ts.Responder == responder {
			return ts, true
		}
	}
	return nil, false
}

// FindID returns the first IDr if responder is set, the first IDi otherwise.
func FindID(ps []Payload, responder bool) (*ID, bool) {
	for _, q := range ps {
		if id, ok := q.(*ID); ok && id.Responder == responder {
			return id, true
		}
	}
	return nil, false
}
