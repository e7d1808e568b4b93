//! Boards as JSON of Grafana, with the data source and the server as variables.
//!
//! Source: Grafana documentation, "Dashboard JSON model" (schema 39, Grafana 10 and later), "Provision Grafana".

use serde_json::{Value, json};

use crate::dashboards::{Dashboard, Drawing, Panel};

/// Height of a panel, in Grafana's units of 30 pixels.
const HEIGHT: u32 = 8;
/// Height of a number, and of a title.
const NUMBER_HEIGHT: u32 = 4;
/// Columns of a board.
const COLUMNS: u32 = 24;

/// A board as JSON.
pub fn json(board: &Dashboard) -> Value {
    let mut panels = Vec::new();
    let mut id = 0;
    let mut y = 0;
    for (title, row) in board.rows {
        id += 1;
        panels.push(json!({
            "id": id, "type": "row", "title": title, "collapsed": false, "panels": [],
            "gridPos": { "x": 0, "y": y, "w": COLUMNS, "h": 1 },
        }));
        y += 1;
        let mut x = 0;
        let mut tallest = 0;
        for panel in *row {
            if x + panel.width > COLUMNS {
                (x, y, tallest) = (0, y + tallest, 0);
            }
            let height = if panel.drawing == Drawing::Number { NUMBER_HEIGHT } else { HEIGHT };
            id += 1;
            panels.push(panel_json(panel, id, x, y, height));
            x += panel.width;
            tallest = tallest.max(height);
        }
        y += tallest;
    }
    json!({
        "uid": board.uid,
        "title": board.title,
        "tags": ["postgresql", "pgwright"],
        "schemaVersion": 39,
        "editable": true,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": { "from": "now-3h", "to": "now" },
        "timezone": "browser",
        "templating": { "list": [
            {
                "name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus",
                "current": {}, "hide": 0,
            },
            {
                "name": "instance", "label": "Server", "type": "query", "refresh": 2, "multi": true, "includeAll": true,
                "allValue": ".+", "current": { "text": "All", "value": "$__all" }, "sort": 1, "hide": 0,
                "datasource": { "type": "prometheus", "uid": "${datasource}" },
                "query": { "query": "label_values(pgwright_up, instance)", "refId": "instance" },
                "definition": "label_values(pgwright_up, instance)",
            },
        ] },
        "links": [{
            "title": "PostgreSQL", "type": "dashboards", "tags": ["pgwright"], "asDropdown": true, "includeVars": true,
            "keepTime": true,
        }],
        "panels": panels,
    })
}

fn panel_json(panel: &Panel, id: u32, x: u32, y: u32, height: u32) -> Value {
    let table = panel.drawing == Drawing::Table;
    let targets: Vec<Value> = panel
        .targets
        .iter()
        .zip('A'..='Z')
        .map(|((expression, legend), letter)| {
            json!({
                "refId": letter.to_string(),
                "datasource": { "type": "prometheus", "uid": "${datasource}" },
                "expr": expression,
                "legendFormat": legend,
                "instant": table,
                "range": !table,
                "format": if table { "table" } else { "time_series" },
            })
        })
        .collect();
    let stacking = if panel.drawing == Drawing::Stacked { "normal" } else { "none" };
    let fill = if panel.drawing == Drawing::Stacked { 40 } else { 5 };
    let (kind, options) = match panel.drawing {
        Drawing::Lines | Drawing::Stacked => (
            "timeseries",
            json!({
                "legend": { "displayMode": "list", "placement": "bottom", "showLegend": true },
                "tooltip": { "mode": "multi", "sort": "desc" },
            }),
        ),
        Drawing::Number => (
            "stat",
            json!({ "reduceOptions": { "calcs": ["lastNotNull"], "fields": "", "values": false }, "graphMode": "area" }),
        ),
        Drawing::Table => {
            ("table", json!({ "showHeader": true, "sortBy": [{ "displayName": "Value", "desc": true }] }))
        }
    };
    let hidden = json!({ "Time": true, "__name__": true, "job": true });
    let transformations =
        if table { json!([{ "id": "organize", "options": { "excludeByName": hidden } }]) } else { json!([]) };
    json!({
        "id": id,
        "type": kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": { "type": "prometheus", "uid": "${datasource}" },
        "gridPos": { "x": x, "y": y, "w": panel.width, "h": height },
        "fieldConfig": {
            "defaults": {
                "unit": panel.unit,
                "custom": if matches!(panel.drawing, Drawing::Lines | Drawing::Stacked) {
                    json!({
                        "drawStyle": "line", "lineWidth": 1, "fillOpacity": fill, "showPoints": "never",
                        "stacking": { "mode": stacking },
                    })
                } else {
                    json!({})
                },
            },
            "overrides": [],
        },
        "options": options,
        "targets": targets,
        "transformations": transformations,
    })
}
