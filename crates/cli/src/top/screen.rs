//! A view on a terminal, until somebody presses q.

use super::fetch::{self, Address};
use super::rates::{Section, View};
use super::table::{shown, widths};
use anyhow::Result;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Style, Stylize};
use ratatui::text::Line;
use ratatui::widgets::{Paragraph, Row, Table};
use ratatui::{DefaultTerminal, Frame};
use std::time::{Duration, Instant};

/// The terminal is as it was when this returns, however it does.
pub(super) fn run(agent: &Address, interval: Duration) -> Result<()> {
    // Before the screen is taken, so that a wrong address is told in the ordinary way.
    let before = fetch::status(agent)?;
    let mut terminal = ratatui::try_init()?;
    let result = show(&mut terminal, agent, before, interval);
    ratatui::try_restore()?;
    result
}

fn show(
    terminal: &mut DefaultTerminal,
    agent: &Address,
    mut before: super::status::Status,
    interval: Duration,
) -> Result<()> {
    let mut view = View::between(&before, &before);
    let mut trouble: Option<String> = None;
    let mut due = Instant::now() + interval.min(Duration::from_millis(300));
    loop {
        terminal.draw(|frame| draw(frame, &view, trouble.as_deref()))?;
        while !event::poll(due.saturating_duration_since(Instant::now()))? {
            // An agent that is being replaced is there again a moment later.
            match fetch::status(agent) {
                Ok(now) => {
                    view = View::between(&before, &now);
                    before = now;
                    trouble = None;
                }
                Err(e) => trouble = Some(format!("{e:#}")),
            }
            due = Instant::now() + interval;
            terminal.draw(|frame| draw(frame, &view, trouble.as_deref()))?;
        }
        if let Event::Key(key) = event::read()?
            && key.kind != KeyEventKind::Release
        {
            let control = key.modifiers.contains(KeyModifiers::CONTROL);
            match key.code {
                KeyCode::Char('q') | KeyCode::Esc => return Ok(()),
                KeyCode::Char('c' | 'd') if control => return Ok(()),
                _ => {}
            }
        }
    }
}

fn draw(frame: &mut Frame<'_>, view: &View, trouble: Option<&str>) {
    let mut head: Vec<Line<'_>> = view
        .head
        .iter()
        .map(|line| Line::from(shown_line(line)))
        .collect();
    if let Some(first) = head.first_mut() {
        *first = std::mem::take(first).bold();
    }
    if let Some(trouble) = trouble {
        head.push(Line::from(shown_line(trouble)).red());
    }
    let mut constraints = vec![Constraint::Length(height(head.len()))];
    // A line of air, the titles, the rows.
    let rows = view.sections.iter().map(|s| height(s.rows.len() + 2));
    constraints.extend(rows.map(Constraint::Max));
    constraints.push(Constraint::Fill(1));
    constraints.push(Constraint::Length(1));
    let areas = Layout::vertical(constraints).split(frame.area());
    let Some((first, rest)) = areas.split_first() else {
        return;
    };
    frame.render_widget(Paragraph::new(head), *first);
    for (section, area) in view.sections.iter().zip(rest) {
        let mut area = *area;
        area.y = area.y.saturating_add(1).min(frame.area().bottom());
        area.height = area.height.saturating_sub(1);
        frame.render_widget(table(section), area);
    }
    if let Some(last) = rest.last() {
        frame.render_widget(Line::from("q quits").dim(), *last);
    }
}

fn table(section: &Section) -> Table<'_> {
    let widths = widths(section.columns, &section.rows);
    let cells = |row: &[String]| -> Vec<Line<'static>> {
        let cell = |(i, text): (usize, &String)| {
            let line = Line::from(shown(text));
            if i == 0 { line } else { line.right_aligned() }
        };
        row.iter().enumerate().map(cell).collect()
    };
    let rows: Vec<Row<'_>> = section
        .rows
        .iter()
        .map(|row| Row::new(cells(row)))
        .collect();
    let head: Vec<String> = section.columns.iter().map(|c| (*c).to_owned()).collect();
    Table::new(
        rows,
        widths.into_iter().map(|w| Constraint::Length(height(w))),
    )
    .header(Row::new(cells(&head)).style(Style::new().reversed()))
    .column_spacing(2)
}

fn shown_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

/// A length that a terminal can have.
fn height(n: usize) -> u16 {
    u16::try_from(n).unwrap_or(u16::MAX)
}
