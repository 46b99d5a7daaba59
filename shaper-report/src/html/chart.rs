//! The frame around every plot: size, axes, and the way from plotters' SVG into the page.

use maud::{Markup, PreEscaped, Render, html};
use plotters::chart::{ChartBuilder, ChartContext};
use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::drawing::{DrawingArea, DrawingAreaErrorKind, IntoDrawingArea};
use plotters::element::{Circle, PathElement, Rectangle, Text};
use plotters::prelude::{Cartesian2d, Color, IntoFont, SVGBackend};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{RGBColor, ShapeStyle, TextStyle};

use super::HtmlError;
use super::palette::{GRID, TEXT};

/// The size of a plot, in units of its own: it takes the width that the page gives it.
pub(super) const WIDTH: u32 = 840;
/// The height of a plot on the same scale.
pub(super) const HEIGHT: u32 = 420;
const FONT: i32 = 24;

type Failure = DrawingAreaErrorKind<std::io::Error>;
type Axes<'a> = ChartContext<'a, SVGBackend<'a>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// The range of both axes and what they say.
pub(super) struct Frame<'a> {
    pub(super) x: (f64, f64),
    pub(super) y: (f64, f64),
    pub(super) x_title: &'a str,
    pub(super) y_title: &'a str,
    pub(super) x_labels: usize,
    pub(super) x_label: &'a dyn Fn(f64) -> String,
    pub(super) y_label: &'a dyn Fn(f64) -> String,
}

/// What can be put on a plot, in the units of its axes.
pub(super) enum Shape {
    /// Dots.
    Dots { at: Vec<(f64, f64)>, ink: RGBColor, opacity: f64, radius: i32 },
    /// A line.
    Line { through: Vec<(f64, f64)>, ink: RGBColor, width: u32 },
    /// Filled boxes: two corners each.
    Boxes { corners: Vec<[(f64, f64); 2]>, ink: RGBColor, opacity: f64 },
    /// Words, starting right of a point.
    Words { at: (f64, f64), text: String },
    /// Words in the margin left of the axis, at a height.
    Margin { y: f64, text: String },
}

/// A plot with its words: a figure of the page, or of a drawing of its own.
pub(super) struct Figure {
    pub(super) title: String,
    pub(super) description: String,
    pub(super) height: u32,
    /// The elements of the plot, without the `svg` around them.
    pub(super) inner: String,
    caption: Markup,
}

impl Render for Figure {
    fn render(&self) -> Markup {
        let Self { title, description, height, inner, caption } = self;
        html! {
            figure {
                h3 { (title) }
                svg viewBox=(format!("0 0 {WIDTH} {height}")) role="img" aria-label=(format!("{title}. {description}")) {
                    title { (title) }
                    desc { (description) }
                    (PreEscaped(inner))
                }
                figcaption { (caption) }
            }
        }
    }
}

/// A plot: `title` for those who see it, `description` for those who do not.
pub(super) fn figure(
    title: &str,
    description: &str,
    frame: &Frame<'_>,
    margin: u32,
    height: u32,
    shapes: &[Shape],
    caption: Markup,
) -> Result<Figure, HtmlError> {
    let mut svg = String::new();
    draw(&mut svg, frame, margin, height, shapes)
        .map_err(|source| HtmlError::Plot { plot: title.to_owned(), source: Box::new(source) })?;
    // The opening tag names a size in pixels and a namespace that HTML does not need.
    let inner = svg.split_once('>').map_or("", |(_, rest)| rest).trim_end().trim_end_matches("</svg>").to_owned();
    Ok(Figure { title: title.to_owned(), description: description.to_owned(), height, inner, caption })
}

fn font(ink: RGBColor) -> TextStyle<'static> {
    ("sans-serif", FONT).into_font().color(&ink)
}

fn draw(svg: &mut String, frame: &Frame<'_>, margin: u32, height: u32, shapes: &[Shape]) -> Result<(), Failure> {
    let root: DrawingArea<SVGBackend<'_>, Shift> = SVGBackend::with_string(svg, (WIDTH, height)).into_drawing_area();
    let mut axes: Axes<'_> = ChartBuilder::on(&root)
        .margin(8)
        .margin_right(48)
        .x_label_area_size(if frame.x_title.is_empty() { 8 } else { 72 })
        .y_label_area_size(margin)
        .build_cartesian_2d(frame.x.0..frame.x.1, frame.y.0..frame.y.1)?;
    let mut mesh = axes.configure_mesh();
    mesh.label_style(font(TEXT.light))
        .axis_desc_style(font(TEXT.light))
        .axis_style(TEXT.light.mix(0.6))
        .bold_line_style(GRID.light)
        .light_line_style(GRID.light.mix(0.0))
        .x_labels(frame.x_labels)
        .y_labels(5)
        .x_desc(frame.x_title)
        .y_desc(frame.y_title);
    let (x_label, y_label) = (|x: &f64| (frame.x_label)(*x), |y: &f64| (frame.y_label)(*y));
    mesh.x_label_formatter(&x_label).y_label_formatter(&y_label);
    if frame.y_title.is_empty() {
        mesh.disable_y_mesh().y_labels(0);
    }
    mesh.draw()?;
    for shape in shapes {
        put(&root, &mut axes, shape)?;
    }
    drop(axes);
    root.present()
}

fn put(root: &DrawingArea<SVGBackend<'_>, Shift>, axes: &mut Axes<'_>, shape: &Shape) -> Result<(), Failure> {
    match shape {
        Shape::Dots { at, ink, opacity, radius } => {
            let style = ShapeStyle::from(ink.mix(*opacity)).filled();
            axes.draw_series(at.iter().map(|point| Circle::new(*point, *radius, style)))?;
        }
        Shape::Line { through, ink, width } => {
            let style = ShapeStyle::from(*ink).stroke_width(*width);
            axes.draw_series(std::iter::once(PathElement::new(through.clone(), style)))?;
        }
        Shape::Boxes { corners, ink, opacity } => {
            let style = ShapeStyle::from(ink.mix(*opacity)).filled();
            axes.draw_series(corners.iter().map(|corners| Rectangle::new(*corners, style)))?;
        }
        Shape::Words { at, text } => {
            let style = font(TEXT.light).pos(Pos::new(HPos::Left, VPos::Center));
            let (x, y) = axes.plotting_area().map_coordinate(at);
            root.draw(&Text::new(text.clone(), (x + 8, y), style))?;
        }
        Shape::Margin { y, text } => {
            let style = font(TEXT.light).pos(Pos::new(HPos::Right, VPos::Center));
            let (x, _) = axes.plotting_area().get_pixel_range();
            let (_, y) = axes.plotting_area().map_coordinate(&(0.0, *y));
            root.draw(&Text::new(text.clone(), (x.start - 10, y), style))?;
        }
    }
    Ok(())
}
