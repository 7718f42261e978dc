// Dashboards writes the Grafana dashboards of the chart, so that panels share their looks
// and a change to a metric is a change to one line here. Run it by make dashboards.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: dashboards FOLDER")
		os.Exit(2)
	}
	for name, d := range map[string]dashboard{"node": node(), "fleet": fleet()} {
		text, err := json.MarshalIndent(d.json(), "", "  ")
		if err == nil {
			err = os.WriteFile(filepath.Join(os.Args[1], name+".json"), append(text, '\n'), 0o644)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "dashboards:", err)
			os.Exit(1)
		}
	}
}

// A dashboard is rows of panels. Each row fills the width.
type dashboard struct {
	uid, title string
	variables  []variable
	rows       []row
}

// A variable is a choice at the top, of the values that a label has on a metric.
type variable struct{ label, metric string }

type row struct {
	title  string
	panels []panel
}

// A panel draws queries over time. Unit is one of Grafana's names.
type panel struct {
	title, unit, help string
	queries           []query
}

// A query's legend may name labels: {{instance}}.
type query struct{ legend, expr string }

type object = map[string]any

const (
	width  = 24
	height = 8
)

var source = object{"type": "prometheus", "uid": "${datasource}"}

func (d *dashboard) json() object {
	choices := []object{{"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "current": object{}}}
	for _, v := range d.variables {
		expr := fmt.Sprintf("label_values(%s, %s)", v.metric, v.label)
		choices = append(choices, object{
			"name": v.label, "type": "query", "datasource": source, "query": object{"query": expr, "refId": v.label}, "definition": expr,
			"includeAll": true, "multi": true, "allValue": ".*", "current": object{"text": "All", "value": "$__all"}, "refresh": 2, "sort": 1,
		})
	}
	var panels []object
	y := 0
	for _, r := range d.rows {
		panels = append(panels, object{"id": len(panels) + 1, "type": "row", "title": r.title, "collapsed": false, "panels": []object{},
			"gridPos": object{"x": 0, "y": y, "w": width, "h": 1}})
		y++
		w := width / len(r.panels)
		for i, p := range r.panels {
			panels = append(panels, p.json(len(panels)+1, object{"x": i * w, "y": y, "w": w, "h": height}))
		}
		y += height
	}
	return object{
		"uid": d.uid, "title": d.title, "tags": []string{"tickcast"}, "timezone": "browser", "schemaVersion": 39, "version": 1,
		"editable": true, "graphTooltip": 1, "refresh": "10s", "time": object{"from": "now-1h", "to": "now"},
		"templating": object{"list": choices}, "annotations": object{"list": []object{}}, "links": []object{}, "panels": panels,
	}
}

func (p *panel) json(id int, at object) object {
	var targets []object
	for i, q := range p.queries {
		targets = append(targets, object{"refId": string(rune('A' + i)), "datasource": source, "expr": q.expr, "legendFormat": q.legend, "range": true})
	}
	return object{
		"id": id, "type": "timeseries", "title": p.title, "description": p.help, "datasource": source, "gridPos": at, "targets": targets,
		"fieldConfig": object{"overrides": []object{}, "defaults": object{
			"unit": p.unit, "min": 0, "custom": object{"drawStyle": "line", "lineWidth": 1, "fillOpacity": 8, "showPoints": "never", "spanNulls": false},
		}},
		"options": object{"legend": object{"displayMode": "list", "placement": "bottom", "showLegend": true}, "tooltip": object{"mode": "multi", "sort": "desc"}},
	}
}

// quantile is a histogram's, over what the labels name.
func quantile(q float64, metric, where, by string) string {
	return fmt.Sprintf("histogram_quantile(%g, sum by (%s) (rate(%s_bucket{%s}[$__rate_interval])))", q, by+"le", metric, where)
}

func rate(metric, where string) string {
	return fmt.Sprintf("rate(%s{%s}[$__rate_interval])", metric, where)
}

func sumBy(by, expr string) string { return fmt.Sprintf("sum by (%s) (%s)", by, expr) }
