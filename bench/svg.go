package bench

import (
	"encoding/xml"
	"fmt"
	"io"
	"slices"
	"strings"
)

// A panel is one chart of the plot: a metric of a test, with a bar for each subject.
type panel struct {
	test   string
	metric Metric
}

// panels are the charts, row by row.
var panels = []panel{
	{tcp1, Throughput}, {tcp1, VPNCPU},
	{tcp8, Throughput}, {tcp8, VPNCPU},
	{tcpBoth, Throughput}, {tcpBoth, VPNCPU},
	{udp64, PacketRate}, {udp64, VPNCPUPacket},
	{udp512, PacketRate}, {udp1400, PacketRate},
	{idle, P99}, {loaded, P99},
	{footprint, PeakMemory}, {footprint, FirstPacket},
}

// Dimensions of the plot, in its own units.
const (
	panelWidth  = 520
	labelWidth  = 190
	valueWidth  = 110
	barWidth    = panelWidth - labelWidth - valueWidth
	rowHeight   = 22
	titleHeight = 44
	margin      = 20
	textTop     = 15 // baseline of a row's text below its top
)

// style serves light and dark colour schemes: elements get their colours by class alone.
const style = `
text { font: 12px system-ui, sans-serif; fill: #1f2328 }
.title { font-weight: 600 }
.note, .value { fill: #59636e }
.bar { fill: #8c959f }
.ours { fill: #0969da }
.spread { stroke: #1f2328; stroke-width: 1.5; fill: none }
.back { fill: #ffffff }
.break { stroke: #ffffff; stroke-width: 3 }
.axis { stroke: #8c959f; fill: none }
.line { stroke: #8c959f; stroke-width: 2; fill: none }
.ours-line { stroke: #0969da }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 }
.note, .value { fill: #9198a1 }
.bar { fill: #656c76 }
.ours { fill: #4493f8 }
.spread { stroke: #e6edf3 }
.back { fill: #0d1117 }
.break { stroke: #0d1117 }
.ours-line { stroke: #4493f8 }
}
`

// Plot writes an SVG with two columns of charts: the medians as bars, with their spread, of the
// largest number of cores. If there are several, curves by the number of cores come first.
func (d *Document) Plot(w io.Writer) error {
	charts, heights := d.curves()
	most := 0
	for _, s := range d.Summaries {
		most = max(most, s.Cores)
	}
	for _, p := range panels {
		rows := slices.DeleteFunc(slices.Clone(d.Summaries), func(s Summary) bool {
			return s.Test != p.test || s.Cores != most || s.Values[p.metric.Key].Rounds == 0
		})
		if len(rows) > 0 {
			charts, heights = append(charts, p.draw(rows)), append(heights, titleHeight+rowHeight*len(rows))
		}
	}
	var b strings.Builder
	y := margin + rowHeight
	for i := 0; i < len(charts); i += 2 {
		end := min(i+2, len(charts))
		for k := i; k < end; k++ {
			fmt.Fprintf(&b, "<g transform=\"translate(%d %d)\">\n%s</g>\n", margin+(k-i)*(panelWidth+margin), y, charts[k])
		}
		y += slices.Max(heights[i:end]) + margin
	}
	width, height := 2*panelWidth+3*margin, y+margin
	note := fmt.Sprintf("%s, %d cores, Linux %s, %s; medians of %d rounds, the line is their spread; a broken bar exceeds the chart", d.Machine.CPU, d.Machine.Cores, d.Machine.Kernel, d.Date.Format("2006-01-02"), d.Rounds)
	_, err := fmt.Fprintf(w, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\" role=\"img\">\n<title>culvert and its rivals</title>\n<style>%s</style>\n"+
		"<rect class=\"back\" width=\"100%%\" height=\"100%%\"/>\n%s%s</svg>\n", width, height, width, height, style, text("note", margin, margin+textTop, note), b.String())
	return err
}

// draw returns the chart as SVG elements, with its top left corner at 0, 0.
func (p panel) draw(rows []Summary) string {
	better := "more is better"
	if p.metric.Less {
		better = "less is better"
	}
	most := p.longest(rows)
	scale := 0.0
	if most > 0 {
		scale = barWidth / most
	}
	var b strings.Builder
	b.WriteString(text("title", 0, textTop, p.test+": "+p.metric.Title))
	b.WriteString(text("note", 0, 2*textTop, better))
	for i, s := range rows {
		v, y := s.Values[p.metric.Key], titleHeight+i*rowHeight
		class := "bar"
		if strings.HasPrefix(s.Subject, "culvert") {
			class = "ours"
		}
		b.WriteString(text("", 0, y+textTop, s.Subject))
		fmt.Fprintf(&b, "<rect class=\"%s\" x=\"%d\" y=\"%d\" width=\"%.1f\" height=\"%d\" rx=\"2\"/>\n", class, labelWidth, y+3, min(v.Median, most)*scale, rowHeight-6)
		if v.Max > most {
			fmt.Fprintf(&b, "<path class=\"break\" d=\"M%d %dl-6 %dM%d %dl-6 %d\"/>\n", labelWidth+barWidth-14, y, rowHeight, labelWidth+barWidth-8, y, rowHeight)
		} else {
			lo, hi, mid := labelWidth+v.Min*scale, labelWidth+v.Max*scale, y+rowHeight/2
			fmt.Fprintf(&b, "<path class=\"spread\" d=\"M%.1f %dH%.1fM%.1f %dv6M%.1f %dv6\"/>\n", lo, mid, hi, lo, mid-3, hi, mid-3)
		}
		b.WriteString(text("value", labelWidth+barWidth+8, y+textTop, fmt.Sprintf(p.metric.Verb, v.Median*p.metric.Scale)))
	}
	return b.String()
}

// outlier is the multiple of the median above which a bar is drawn broken, so that the other bars
// remain distinguishable.
const outlier = 8

// longest returns the value at the end of the scale: the largest that is not an outlier.
func (p panel) longest(rows []Summary) float64 {
	var all []float64
	for _, s := range rows {
		all = append(all, s.Values[p.metric.Key].Max)
	}
	slices.Sort(all)
	most := all[len(all)/2]
	for _, v := range all {
		if v <= outlier*all[len(all)/2] {
			most = max(most, v)
		}
	}
	return most
}

// text returns a text element.
func text(class string, x, y int, s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a strings.Builder returns no error
	return fmt.Sprintf("<text class=\"%s\" x=\"%d\" y=\"%d\">%s</text>\n", class, x, y, b.String())
}
