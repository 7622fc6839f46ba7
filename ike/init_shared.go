package ike

// mostHalfOpen bounds the half-open IKE SAs, so that sharedTexts never lacks a place.
const mostHalfOpen = 1 << 15

// sharedTexts keeps texts that many records have in common: each once, as long as a record refers
// to it, whatever the configuration is meanwhile. A record has the place of its text, which is
// never zero; the place 0 is that of no text.
type sharedTexts struct {
	places map[string]uint16
	list   []sharedText // by place, from 1 on
	free   []uint16     // places without a text
}

type sharedText struct {
	text    string
	records int // that refer to it
}

// keep returns the place of a text for one more record, which must release it. There are no more
// texts than records, and fewer records than places (mostHalfOpen).
func (t *sharedTexts) keep(text string) uint16 {
	if text == "" {
		return 0
	}
	place, known := t.places[text]
	if !known {
		place = t.add(text)
	}
	t.list[place-1].records++
	return place
}

func (t *sharedTexts) add(text string) (place uint16) {
	if n := len(t.free); n > 0 {
		place, t.free = t.free[n-1], t.free[:n-1]
	} else {
		t.list = append(t.list, sharedText{})
		place = uint16(len(t.list))
	}
	if t.places == nil {
		t.places = map[string]uint16{}
	}
	t.places[text], t.list[place-1] = place, sharedText{text: text}
	return place
}

// release ends a record's reference to the text of a place.
func (t *sharedTexts) release(place uint16) {
	if place == 0 {
		return
	}
	s := &t.list[place-1]
	if s.records--; s.records == 0 {
		delete(t.places, s.text)
		*s, t.free = sharedText{}, append(t.free, place)
	}
}

// text returns the text of a place.
func (t *sharedTexts) text(place uint16) string {
	if place == 0 {
		return ""
	}
	return t.list[place-1].text
}
