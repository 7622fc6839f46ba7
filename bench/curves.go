package bench

import (
	"fmt"
	"slices"
	"strings"
)

// byCores are the charts of a metric by the number of cores, row by row.
var byCores = []panel{
	{tcp1, Throughput}, {tcp1, VPNCPU},
	{tcp8, Throughput}, {tcp8, VPNCPU},
	{tcpBoth, Throughput}, {udp64, PacketRate},
}

// Dimensions of a chart of curves.
const (
	curveWidth  = panelWidth - labelWidth - 10 // the names stand at the right ends
	curveHeight = 200
)

// curves returns the charts by the number of cores and their heights. There are none unless several
// numbers were measured.
func (d *Document) curves() (charts []string, heights []int) {
	for _, p := range byCores {
		rows := slices.DeleteFunc(slices.Clone(d.Summaries), func(s Summary) bool { return s.Test != p.test || s.Cores == 0 || s.Values[p.metric.Key].Rounds == 0 })
		cores := coresOf(rows)
		if len(cores) < 2 {
			continue
		}
		charts = append(charts, p.drawCurves(rows, cores))
		heights = append(heights, titleHeight+curveHeight+2*rowHeight)
	}
	return charts, heights
}

// coresOf returns the numbers of cores, in ascending order.
func coresOf(rows []Summary) (list []int) {
	for _, s := range rows {
		list = append(list, s.Cores)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// A curve is the medians of one subject, from the smallest number of cores to the largest.
type curve struct {
	subject string
	points  []point
}

// A point is a place in a chart, from its top left corner.
type point struct{ x, y float64 }

// drawCurves returns the chart as SVG elements, with its top left corner at 0, 0.
func (p panel) drawCurves(rows []Summary, cores []int) string {
	var b strings.Builder
	b.WriteString(text("title", 0, textTop, p.test+": "+p.metric.Title+", by cores"))
	if p.metric.Less {
		b.WriteString(text("note", 0, 2*textTop, "less is better"))
	} else {
		b.WriteString(text("note", 0, 2*textTop, "more is better"))
	}
	bottom := titleHeight + curveHeight
	fmt.Fprintf(&b, "<path class=\"axis\" d=\"M0 %dV%dH%d\"/>\n", titleHeight, bottom, curveWidth)
	for i, n := range cores {
		b.WriteString(text("note", i*curveWidth/(len(cores)-1)-4*min(i, 1), bottom+textTop+3, fmt.Sprint(n)))
	}
	curves := p.layOut(rows, cores)
	for i, y := range labels(curves) {
		c := curves[i]
		class := "line"
		if strings.HasPrefix(c.subject, "culvert") {
			class = "line ours-line"
		}
		var path strings.Builder
		for k, at := range c.points {
			fmt.Fprintf(&path, "%c%.1f %.1f", "ML"[min(k, 1)], at.x, at.y)
		}
		fmt.Fprintf(&b, "<path class=\"%s\" d=\"%s\"/>\n", class, path.String())
		b.WriteString(text("", curveWidth+6, y, c.subject))
	}
	return b.String()
}

// layOut returns the curves of the subjects, the largest value at the top.
func (p panel) layOut(rows []Summary, cores []int) (curves []curve) {
	most := p.longest(rows)
	for _, s := range rows {
		i := slices.IndexFunc(curves, func(c curve) bool { return c.subject == s.Subject })
		if i < 0 {
			i, curves = len(curves), append(curves, curve{subject: s.Subject})
		}
		x := float64(slices.Index(cores, s.Cores)) * curveWidth / float64(len(cores)-1)
		share := 0.0
		if most > 0 {
			share = min(s.Values[p.metric.Key].Median/most, 1)
		}
		curves[i].points = append(curves[i].points, point{x, titleHeight + curveHeight*(1-share)})
	}
	for _, c := range curves {
		slices.SortFunc(c.points, func(a, b point) int { return int(a.x - b.x) })
	}
	return curves
}

// labels returns where the names of the curves stand, by curve: at the right ends, apart by a line
// of text at least.
func labels(curves []curve) []int {
	const apart = 14
	order := make([]int, len(curves))
	for i := range order {
		order[i] = i
	}
	end := func(i int) float64 { return curves[i].points[len(curves[i].points)-1].y }
	slices.SortStableFunc(order, func(a, b int) int { return int(end(a) - end(b)) })
	ys, last := make([]int, len(curves)), 0
	for _, i := range order {
		ys[i] = max(int(end(i))+4, last+apart)
		last = ys[i]
	}
	return ys
}
