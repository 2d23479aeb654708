//! Charts as SVG, by the plotters library.

use std::ops::Range;

use plotters::coord::Shift;
use plotters::prelude::*;

const SIZE: (u32, u32) = (640, 360);
const COLOURS: [RGBColor; 3] = [
    RGBColor(31, 119, 180),
    RGBColor(214, 39, 40),
    RGBColor(44, 160, 44),
];

/// What a chart's axes are: the lower one, and that at the side.
type Axes<'a> = (&'a str, &'a str);

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), Box<dyn std::error::Error>>;

/// An SVG of this height, drawn by a function.
fn svg(height: u32, draw: impl FnOnce(&Area<'_>) -> Drawn) -> Result<String, String> {
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, (SIZE.0, height)).into_drawing_area();
        draw(&area).map_err(|e| e.to_string())?;
        area.present().map_err(|e| e.to_string())?;
    }
    Ok(text)
}

/// A little more than the range of these numbers, 0 among them.
fn range(values: impl Iterator<Item = f64>) -> Range<f64> {
    let finite = values.filter(|v| v.is_finite());
    let (low, high) = finite.fold((0.0f64, 0.0f64), |(low, high), v| (low.min(v), high.max(v)));
    let margin = 0.05 * (high - low).max(1e-9);
    low - margin..high + margin
}

/// Intervals of named numbers, one below the other.
pub(super) fn forest(words: &str, bars: &[(String, [f64; 3])]) -> Result<String, String> {
    let height = 80 + 24 * u32::try_from(bars.len()).unwrap_or(0);
    svg(height, |area| {
        let x = range(bars.iter().flat_map(|(_, interval)| *interval));
        let n = bars.len() as f64;
        let mut chart = ChartBuilder::on(area)
            .caption(words, ("sans-serif", 14))
            .margin(8)
            .x_label_area_size(40)
            .y_label_area_size(200)
            .build_cartesian_2d(x, 0.0..n)?;
        let name = |y: &f64| {
            let place = (n - y - 0.5).round();
            let is_line = (n - y - 0.5 - place).abs() < 1e-6 && place >= 0.0;
            let bar = if is_line {
                bars.get(place as usize)
            } else {
                None
            };
            bar.map_or_else(String::new, |(name, _)| name.clone())
        };
        chart
            .configure_mesh()
            .disable_y_mesh()
            .y_labels(2 * bars.len() + 1)
            .y_label_formatter(&name)
            .x_desc("coefficient")
            .draw()?;
        let zero = [(0.0, 0.0), (0.0, n)];
        chart.draw_series(LineSeries::new(zero, BLACK.mix(0.5)))?;
        for (i, (_, [low, middle, high])) in bars.iter().enumerate() {
            let y = n - i as f64 - 0.5;
            let line = [(*low, y), (*high, y)];
            chart.draw_series(LineSeries::new(line, COLOURS[0].stroke_width(2)))?;
            chart.draw_series([Circle::new((*middle, y), 3, COLOURS[0].filled())])?;
        }
        Ok(())
    })
}

/// Named points, and the line on which both are the same.
pub(super) fn against(
    (x, y): Axes<'_>,
    named: &[(&str, Vec<(f64, f64)>)],
) -> Result<String, String> {
    svg(SIZE.1, |area| {
        let points = named.iter().flat_map(|(_, points)| points);
        let both = range(points.flat_map(|(x, y)| [*x, *y]));
        let line = [(0.0, 0.0), (both.end, both.end)];
        let mut chart = ChartBuilder::on(area)
            .margin(8)
            .x_label_area_size(40)
            .y_label_area_size(50)
            .build_cartesian_2d(both.clone(), both)?;
        chart.configure_mesh().x_desc(x).y_desc(y).draw()?;
        chart.draw_series(LineSeries::new(line, BLACK.mix(0.3)))?;
        for ((name, points), colour) in named.iter().zip(COLOURS) {
            chart
                .draw_series(LineSeries::new(points.iter().copied(), colour))?
                .label(*name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour));
            let marks = points.iter().map(|at| Circle::new(*at, 3, colour.filled()));
            chart.draw_series(marks)?;
        }
        chart.configure_series_labels().border_style(BLACK).draw()?;
        Ok(())
    })
}

/// Named curves over 0, 1, 2, ….
pub(super) fn curves(
    words: &str,
    (across, up): Axes<'_>,
    named: &[(&str, Vec<f64>)],
) -> Result<String, String> {
    svg(SIZE.1, |area| {
        let n = named.iter().map(|(_, values)| values.len()).max();
        let x = 0.0..n.unwrap_or(1).saturating_sub(1).max(1) as f64;
        let y = range(named.iter().flat_map(|(_, values)| values.iter().copied()));
        let mut chart = ChartBuilder::on(area)
            .caption(words, ("sans-serif", 14))
            .margin(8)
            .x_label_area_size(40)
            .y_label_area_size(50)
            .build_cartesian_2d(x, y)?;
        chart.configure_mesh().x_desc(across).y_desc(up).draw()?;
        for ((name, values), colour) in named.iter().zip(COLOURS) {
            let points = values.iter().enumerate().map(|(i, v)| (i as f64, *v));
            chart
                .draw_series(LineSeries::new(points, colour))?
                .label(*name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour));
        }
        chart.configure_series_labels().border_style(BLACK).draw()?;
        Ok(())
    })
}

/// Named bars side by side at 1, 2, 3, ….
pub(super) fn bars(
    words: &str,
    (across, up): Axes<'_>,
    named: &[(&str, Vec<f64>)],
) -> Result<String, String> {
    svg(SIZE.1, |area| {
        let n = named.iter().map(|(_, values)| values.len()).max();
        let x = 0.5..n.unwrap_or(0) as f64 + 0.5;
        let y = range(named.iter().flat_map(|(_, values)| values.iter().copied()));
        let mut chart = ChartBuilder::on(area)
            .caption(words, ("sans-serif", 14))
            .margin(8)
            .x_label_area_size(40)
            .y_label_area_size(50)
            .build_cartesian_2d(x, y)?;
        let mut mesh = chart.configure_mesh();
        mesh.disable_x_mesh().x_desc(across).y_desc(up).draw()?;
        let width = 0.8 / named.len().max(1) as f64;
        for (at, ((name, values), colour)) in named.iter().zip(COLOURS).enumerate() {
            let left = |i: usize| i as f64 + 0.6 + at as f64 * width;
            let bars = values.iter().enumerate().map(|(i, value)| {
                let corners = [(left(i), 0.0), (left(i) + width, *value)];
                Rectangle::new(corners, colour.filled())
            });
            chart
                .draw_series(bars)?
                .label(*name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour));
        }
        chart.configure_series_labels().border_style(BLACK).draw()?;
        Ok(())
    })
}
